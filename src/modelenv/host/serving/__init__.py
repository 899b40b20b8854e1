"""The host's side: the process that holds the models and answers the workers' requests."""
