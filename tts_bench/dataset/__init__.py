"""Where problems and labelled solutions come from."""
