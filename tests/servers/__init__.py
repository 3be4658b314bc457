"""Real servers around the commands: PostgreSQL, MLflow's, and one that speaks S3."""
