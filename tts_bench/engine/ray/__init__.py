"""Engine `ray`: replicas of vLLM as actors of Ray, on one machine or on a cluster."""
