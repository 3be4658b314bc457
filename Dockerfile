# quorum with the CPU build of torch and the versions of constraints.txt; docs/container.md says how to run it.
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /quorum
COPY constraints.txt ./
RUN grep -E '^(torch|torchvision)==' constraints.txt > torch.txt \
    && pip install --no-cache-dir --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple --requirement torch.txt
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY sweeps sweeps
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt '.[lite,system-metrics]'
# Whoever runs it may have no home here; GitPython, which MLflow brings, would complain that there is no git.
ENV HOME=/tmp GIT_PYTHON_REFRESH=quiet
ENTRYPOINT ["quorum"]
