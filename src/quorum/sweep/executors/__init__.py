"""How trainings are done: one after the other in this process, or side by side in worker processes."""
