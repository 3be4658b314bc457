"""Names of the tags and metrics that quorum's runs, models and versions carry."""

KIND = "quorum.kind"  # sweep, trial, seed, train, data, promote, ensemble or continued
DATASET = "quorum.dataset"
DATA_DIGEST = "quorum.data_digest"
FINGERPRINT = "quorum.fingerprint"  # of a seed run: its configuration, seed included
TRIAL_FINGERPRINT = "quorum.trial_fingerprint"  # of its configuration whatever the seed
CODE_VERSION = "quorum.code_version"
KEY = "quorum.key"  # what a repeated command finds its unfinished run by
SWEEP = "quorum.sweep_run_id"
STAGE = "quorum.stage"
TRIAL = "quorum.trial_number"
SEED = "quorum.seed"
SEED_RUNS = "quorum.seed_runs"  # of a trial: run ids of its seeds, as a JSON object by seed
MODEL_ID = "quorum.model_id"  # logged model with the weights; on a trial, that of its best seed
BEST_RUN = "quorum.best_seed_run"
MEMBERS = "quorum.members"  # of a registered vote: its members' URIs, best first, as a JSON list
REASON = "quorum.reason"  # why a run failed
DIVERGED = "quorum.diverged"  # of a training whose loss was no longer finite: in which epoch
CONTINUES = "quorum.continued_in"  # of a run that `mlflow run` made for work that goes on in another
WEIGHTS_RUN = "quorum.weights_run_id"  # of a training: the run that its first weights come from
SHARED_EPOCHS = "quorum.shared_epochs"  # of a seed run: epochs at its beginning that another run has trained
SHARED_WITH = "quorum.shared_with"  # of a seed run: the run that trained them
NOTE = "mlflow.note.content"
PARENT = "mlflow.parentRunId"

BEST_EPOCH = "best/epoch"  # of a training: the first epoch with the highest validation accuracy, counted from 1


def best_metric(metric: str) -> str:
    """The name of a validation metric in a training's best epoch: `best/val_accuracy`."""
    return f"best/val_{metric}"


def last_metric(metric: str) -> str:
    """The name of a validation metric in a training's last epoch: `last/val_accuracy`."""
    return f"last/val_{metric}"
