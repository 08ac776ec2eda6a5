# One image for CPU and CUDA with everything in requirements.lock: torch's package has the CUDA libraries, the host the driver.
#
#   docker build -t twist-transfer .
#   mkdir -p runs
#   docker run --rm -v "$PWD/runs:/suite/runs" twist-transfer tools/demo.sh --quick
#   docker run --rm --gpus all --ipc=host -v /data:/suite/data:ro -v "$PWD/runs:/suite/runs" twist-transfer tools/preflight.sh
#
# --ipc=host (or --shm-size=16g): data-loading processes pass images through /dev/shm, which has 64 MB by default.
# --user "$(id -u):$(id -g)": the files in runs/ belong to you instead of root.
# docker stop --time=60: leaves time to finish a step and write a checkpoint, from which the same command resumes.
# -v twist-cache:/cache: keeps the results of data checks, and weights from hubs, for the next container.
FROM python:3.11-slim-bookworm

# git: records name the commit; g++: torch.compile needs a compiler; procps: ps, for the tests.
# Not pinned: Debian's mirrors do not keep older versions, so pinned ones would soon fail to install.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git g++ procps \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /suite
# Only what the set-up reads: after any other change, the 7 GB that it installs come from the cache.
COPY requirements.lock uv.toml ./
COPY tools/setup.sh tools/check_env.py tools/bootstrap.lock tools/
RUN tools/setup.sh && rm -rf /root/.cache
COPY . .
# Works for any user: with --user, the user owns nothing here and has neither a home nor a name.
RUN git config --system --add safe.directory /suite && install --directory --mode=1777 /cache data runs
ENV HOME=/tmp XDG_CACHE_HOME=/cache USER=user
CMD ["tools/demo.sh", "--quick"]
