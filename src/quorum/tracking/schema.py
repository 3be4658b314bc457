"""Every name that runs, models and versions have in MLflow besides metrics: tags, kinds, status and files.

Each is written here once. Metrics, which the parts below know too, are in `quorum.metric_names`.
"""

# Tags. `records.py` says which kind of run carries which.
KIND = "quorum.kind"  # one of the kinds below
DATASET = "quorum.dataset"
DATA_DIGEST = "quorum.data_digest"
DATA_SOURCE = "quorum.data_source"  # the folder or library that the images were read from
FINGERPRINT = "quorum.fingerprint"  # of a training: its configuration, seed included
TRIAL_FINGERPRINT = "quorum.trial_fingerprint"  # of its configuration whatever the seed
CODE_VERSION = "quorum.code_version"
NUMERICS = "quorum.numerics"  # class of the machine that computed
KEY = "quorum.key"  # what a repeated command finds its unfinished run by
STUDY_KEY = "quorum.study_key"  # of a sweep: what it runs, whatever the code, the data and the machine
SWEEP = "quorum.sweep_run_id"
STAGE = "quorum.stage"
TRIAL = "quorum.trial_number"
VARIED = "quorum.trial"  # of a training: what its trial varies, such as lr=0.05; to group seeds by, so not of trials
SEED = "quorum.seed"
SEED_RUNS = "quorum.seed_runs"  # of a trial: run ids of its seeds, as a JSON object by seed
MAX_SEEDS = 150  # of a trial: SEED_RUNS takes up to 50 characters for each, and MLflow cuts a tag at 8,000
MODEL_ID = "quorum.model_id"  # logged model with the weights; on a trial, that of its best seed
BEST_RUN = "quorum.best_seed_run"
VERSION = "quorum."  # before the names of what a registered version keeps
RULE = "quorum.voting_rule"  # of a registered vote: how its members vote, as JSON
MEMBERS = "quorum.members"  # of a registered vote: its members' URIs, best first, as a JSON list
REASON = "quorum.reason"  # why a run failed
DIVERGED = "quorum.diverged"  # of a training whose loss was no longer finite: in which epoch
STOPPED = "quorum.stopped_early"  # of a training that ended before its last epoch: where and why
CONTINUES = "quorum.continued_in"  # of a run that `mlflow run` made for work that goes on in another
WEIGHTS_RUN = "quorum.weights_run_id"  # of a training: the run that its first weights come from
SHARED_EPOCHS = "quorum.shared_epochs"  # of a training: epochs at its beginning that another run has trained
SHARED_WITH = "quorum.shared_with"  # of a training: the run that trained them
PROMOTION = "quorum.promotion"  # of a promotion's run, and, with a number, of the registered model: the ledger's entry
PROCESS = "quorum.process."  # of an experiment, and a drawn name: a process that writes to it, see `leases.py`
VIEW = "mlflow.sharedViewState."  # of an experiment, and a name: a saved view of its page, see `views.py`
NOTE = "mlflow.note.content"
PARENT = "mlflow.parentRunId"
# Who began a run, from which program.
USER, SOURCE, SOURCE_TYPE = "mlflow.user", "mlflow.source.name", "mlflow.source.type"
COMMIT, BRANCH, REPOSITORY = "mlflow.source.git.commit", "mlflow.source.git.branch", "mlflow.source.git.repoURL"
IMAGE = "mlflow.docker.image.uri"  # of the container that the run was made in

# Experiments.
EXPERIMENT = "quorum"  # before the data set's name
EXPERIMENT_KIND, MODEL_TRAINING = "mlflow.experimentKind", "custom_model_development"

# Kinds of runs.
SWEEP_KIND, TRIAL_KIND, SEED_KIND, TRAIN_KIND = "sweep", "trial", "seed", "train"
# Of fresh seeds for candidates, and their trials; the latter are no candidates themselves.
CONFIRM_KIND, FRESH_KIND = "confirmation", "fresh"
DATA_KIND, PROMOTE_KIND, ENSEMBLE_KIND, REPORT_KIND, EXPORT_KIND, CONTINUED_KIND = (
    "data",
    "promote",
    "ensemble",
    "report",
    "export",
    "continued",
)

# Status of a run, as MLflow has it.
RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"

# Files of runs and models.
CONFIG, ENVIRONMENT, CURVES = "config.json", "environment.json", "curves.csv"
VOTING_RULE = "voting_rule.json"
PREDICTIONS, CONFUSION, PER_CLASS = "predictions.csv", "confusion_matrix.csv", "per_class.csv"
