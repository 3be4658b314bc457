"""One module per command: each wires data, models, engine, study, tracking, ensemble and report together."""
