"""Networks, what does not fit them, and models of the registry."""

from __future__ import annotations

from tests.bad_input.contract import CUT, LONG, Case, Place, one_line

NO_VERSION = "no such model version"
NO_MODEL = "no such model of quorum's"
NO_URI = "is no model URI; models:/NAME/VERSION, models:/NAME@ALIAS or runs:/RUN/model"
CASES: list[Case] = [
    ("train -P model=alexnt", "no model 'alexnt' (did you mean 'alexnet'?)"),
    ("train -P model=convnext_tny", "no model 'convnext_tny' (did you mean 'convnext_tiny'?)"),
    ("train -P model=ALEXNET", "no model 'ALEXNET'"),
    ("train -P model=../alexnet", "no model '../alexnet' (did you mean 'alexnet'?)"),
    ("train -P model=timm/resnt18", "no model 'timm/resnt18' (did you mean 'timm/resnet18'?); choose from timm/resnet"),
    ("train -P model=timm/resnet18.a9", "no tag of timm/resnet18 'a9'"),
    ("train -P model=timm/../alexnet", "no model 'timm/../alexnet'"),
    ("train -P model=timm/", "no model 'timm/'"),
    ("train -P model=timm/hf-hub:me/mine", "no model 'timm/hf-hub:me/mine'"),
    ("train -P model=timm/resnet18 -P weights=imagenet1k_v1", "no version of the ImageNet weights of timm/resnet18"),
    ("train -P model=timm/resnet200 -P weights=imagenet", "there are no ImageNet weights of timm/resnet200"),
    (
        "train -P model=timm/vit_tiny_patch16_224 -P input_size=64",
        "64 does not fit timm/vit_tiny_patch16_224, which takes",
    ),
    ("train -P model=timm/test_resnet -P phases=head", "phases: no parameter group 'head'"),
    ("train -P model=timm/gemma4_vit_167m_enc", "model: timm/gemma4_vit_167m_enc is no classifier"),
    ("sweep -P model=timm/resnet18", "no study 'timm/resnet18'"),
    ("train -P model=vit_b_16 -P input_size=64", "input_size: 64 does not fit vit_b_16, which takes 224 pixels only"),
    ("train -P model=resnet18 -P input_size=32 -P batch_size=1", "batch_size: 1 is too small for resnet18"),
    ("train -P input_size=32", "input_size: 32 does not fit alexnet, which takes 63 pixels or more"),
    ("train -P model=scratch-simple -P input_size=64", "scratch-simple, which takes 32 pixels only"),
    ("train -P phases=layer4", "phases: no parameter group 'layer4'"),
    ("train -P phases=1:classifier,9:layer4", "phases: no parameter group 'layer4'"),
    ("promote", "digits: 0 finished trials with different settings"),
    ("promote -P confirm=3", "digits: 0 finished trials with different settings"),
    ("promote -P dataset=mnits", "no dataset 'mnits' (did you mean 'mnist'?)"),
    ("promote -P dataset=a/b", "no dataset 'a/b'"),
    ("promote --rollback", "quorum-digits: no such registered model"),
    ("ensemble", "quorum-digits: no promoted model; run `quorum promote` first"),
    ("ensemble -P dataset=folder", "dataset=folder needs path=, a tree of class/image files, or name=, once it ran"),
    ("ensemble -P dataset=../x", "no dataset '../x'"),
    ("ensemble -P images=absent", "quorum-digits: no promoted model"),
    ("ensemble -P models=some-model", f"'some-model' {NO_URI}"),
    ("ensemble -P models=/etc", f"'/etc' {NO_URI}"),
    ("ensemble -P models=file:///etc/passwd", f"'file:///etc/passwd' {NO_URI}"),
    ("ensemble -P models=s3://bucket/x", f"'s3://bucket/x' {NO_URI}"),
    ("ensemble -P models=http://me:secret@host/x", f"'http://me:***@host/x' {NO_URI}"),
    ("ensemble -P models=models:/absent@best-1", f"models:/absent@best-1: {NO_VERSION}"),
    ("ensemble -P models=models:/absent/7", f"models:/absent/7: {NO_VERSION}"),
    ("ensemble -P models=models:/a/b/c", f"models:/a/b/c: {NO_VERSION}"),
    ("ensemble -P models=models:/a@", f"models:/a@: {NO_VERSION}"),
    ("ensemble -P models=models:/@best", f"models:/@best: {NO_VERSION}"),
    ("ensemble -P models=models:/a/0", f"models:/a/0: {NO_VERSION}"),
    ("ensemble -P models=models:/a/-1", f"models:/a/-1: {NO_VERSION}"),
    ("ensemble -P models=models:/a/latest", f"models:/a/latest: {NO_VERSION}"),
    ("ensemble -P models=models:/a/1e3", f"models:/a/1e3: {NO_VERSION}"),
    (f"ensemble -P models=models:/a/{10**20}", NO_VERSION),
    (("ensemble", "-P", "models=models:/a'/1"), f"models:/a'/1: {NO_VERSION}"),
    (("ensemble", "-P", f"models=models:/{LONG}/1"), "no such model version"),
    ("ensemble -P models=models:/", f"models:/: {NO_MODEL}"),
    ("ensemble -P models=models:/a", f"models:/a: {NO_MODEL}"),
    ("ensemble -P models=models:/%2e%2e", f"models:/%2e%2e: {NO_MODEL}"),
    ("ensemble -P models=runs:/", f"runs:/: {NO_MODEL}"),
    ("ensemble -P models=runs:/x", f"runs:/x: {NO_MODEL}"),
    ("ensemble -P models=runs:/x/model", f"runs:/x/model: {NO_MODEL}"),
    ("ensemble -P models=runs:/../../x", f"runs:/../../x: {NO_MODEL}"),
    ("export", "quorum-digits-vote: no registered vote; run `quorum ensemble` first"),
    ("export -P dataset=folder", "quorum-folder-vote: no registered vote; run `quorum ensemble` first"),
    ("export -P dataset=mnits", "no dataset 'mnits' (did you mean 'mnist'?)"),
    ("export -P model=alexnet", f"'alexnet' {NO_URI}"),
    ("export -P model=models:/absent@current", f"models:/absent@current: {NO_MODEL}"),
    ("export -P model=runs:/x/model", f"runs:/x/model: {NO_MODEL}"),
    # plugins
    ("train -P plugins=no_such_module", "cannot be imported (ModuleNotFoundError"),
    ("studies -P plugins=absent.py", "cannot be imported (FileNotFoundError"),
    (("train", "-P", f"plugins={LONG}"), f"plugins: '{CUT} cannot be imported"),
    ("train -P plugins=.", "plugins: '.' cannot be imported"),
    ("train -P plugins=a..b", "plugins: 'a..b' cannot be imported"),
    ("train -P plugins=os.path.join", "plugins: 'os.path.join' cannot be imported"),
    ("train -P plugins=/etc/passwd", "plugins: '/etc/passwd' cannot be imported"),
]


@one_line(CASES)
def test_one_line_and_exit_status_2(place: Place, words: str | tuple[str, ...], line: str) -> None:
    place.check(words, line)
