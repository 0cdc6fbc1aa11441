"""Models behind HTTP servers: dialects, a pool of servers, and the probe at the start."""
