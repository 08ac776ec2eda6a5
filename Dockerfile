# Everything of requirements.lock in one image, for CPU and for CUDA: torch's own package brings CUDA's libraries, the host its driver.
#
#   docker build -t twist-transfer .
#   mkdir -p runs
#   docker run --rm -v "$PWD/runs:/suite/runs" twist-transfer tools/demo.sh --quick
#   docker run --rm --gpus all --ipc=host -v /data:/suite/data:ro -v "$PWD/runs:/suite/runs" twist-transfer tools/preflight.sh
#
# --ipc=host (or --shm-size=16g): loader processes pass images through /dev/shm, of which Docker gives 64 MB.
# --user "$(id -u):$(id -g)": what is written to runs/ belongs to you, and not to root.
# docker stop --time=60: a checkpoint is written when the step is done; the same command goes on from there.
# -v twist-cache:/cache: keeps what is remembered of checked data, and weights from hubs, for the next container.
FROM python:3.11-slim-bookworm

# git names the commit in records, g++ is what torch.compile builds with, ps is for the tests.
# Not pinned: Debian's mirrors keep no older versions, so what is pinned would soon not install.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git g++ procps \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /suite
# What the set-up reads and nothing else: after any other change its 7 GB are taken from the cache.
COPY requirements.lock uv.toml ./
COPY tools/setup.sh tools/check_env.py tools/bootstrap.lock tools/
RUN tools/setup.sh && rm -rf /root/.cache
COPY . .
# For any user: one of --user owns nothing here, and has neither home nor name.
RUN git config --system --add safe.directory /suite && install --directory --mode=1777 /cache data runs
ENV HOME=/tmp XDG_CACHE_HOME=/cache USER=user
CMD ["tools/demo.sh", "--quick"]
