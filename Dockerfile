# The locked environment of the pipeline, without the code: mount a clone and run anything in it.
#
#   docker build -t urban-ear .                    and with CUDA:  docker build --target gpu -t urban-ear:gpu .
#   docker run --rm -v "$PWD:/urban-ear" urban-ear
#   docker run --rm -v "$PWD:/urban-ear" --gpus all urban-ear:gpu dvc repro
#
# The code is mounted and not copied, since DVC writes its results, and dvc.lock, back into the clone.

ARG PYTHON=3.11
FROM python:${PYTHON}-slim-trixie AS base

# DVC works with git; ssh is for git and for remotes. No exact versions: they are gone from Debian's servers with the next
# security fix. A mounted clone may belong to another user, whom git distrusts by default.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system --add safe.directory /urban-ear

# The owner of what runs write into the mounted clone: 1000 is the first user of most Linux machines; or give your own.
ARG UID=1000
ARG GID=1000
RUN groupadd --gid "${GID}" ear && useradd --uid "${UID}" --gid ear --create-home ear

# An environment that the user may add to, such as the extra of another remote.
ENV VIRTUAL_ENV=/opt/venv PATH=/opt/venv/bin:${PATH}
RUN python -m venv "${VIRTUAL_ENV}" && chown -R ear:ear "${VIRTUAL_ENV}"
USER ${UID}:${GID}

# Each file must have a hash that the lock names.
COPY --chown=ear:ear requirements.txt /tmp/
RUN pip install --no-cache-dir --require-hashes --requirement /tmp/requirements.txt

ENV DVC_NO_ANALYTICS=1 PYTHONUNBUFFERED=1
WORKDIR /urban-ear
CMD ["dvc", "repro"]


# CUDA and cuDNN come as wheels, so the base is the same; the driver comes from the host, through the NVIDIA Container
# Toolkit, which these two variables tell what to bring.
FROM base AS gpu
COPY --chown=ear:ear requirements-gpu.txt /tmp/
RUN pip install --no-cache-dir --require-hashes --requirement /tmp/requirements-gpu.txt
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility


# The last stage is what a build without --target gives.
FROM base AS cpu
