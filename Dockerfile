# Everything of requirements.lock in one image, for CPU and for CUDA: torch's own package brings CUDA's libraries, the host its driver.
#
#   docker build -t twist-transfer .
#   docker run --rm -v "$PWD/runs:/suite/runs" twist-transfer tools/demo.sh --quick
#   docker run --rm --gpus all --ipc=host -v /data:/suite/data:ro -v "$PWD/runs:/suite/runs" twist-transfer tools/preflight.sh
#
# --ipc=host (or --shm-size=16g): loader processes pass images through /dev/shm, of which Docker gives 64 MB.
FROM python:3.11-slim-bookworm

# Not pinned: Debian's mirrors keep no older versions, so what is pinned would soon not install.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git procps \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /suite
COPY requirements.lock pyproject.toml ./
COPY tools tools
RUN tools/setup.sh && rm -rf /root/.cache
COPY . .
CMD ["tools/demo.sh", "--quick"]
