"""Everything that touches MLflow: runs, queries, logged models and the registry. Nothing else imports it."""
