# syntax=docker/dockerfile:1
# Opsin's images.  One file, three targets, the same layers as far as they go:
#   light   server, GraphQL, REST, viewer, workers without models (and the door to a Ray cluster)
#   cpu     with the built-in models, on the processor
#   cuda    with the built-in models, on NVIDIA GPUs
# docker build --target cpu --tag opsin:cpu .

# The version that the CI tests with, named to the patch: a build of today is the build of tomorrow.
ARG PYTHON=3.11.14-slim-trixie

FROM python:${PYTHON} AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY plugin_template plugin_template
COPY opsin opsin
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# What Opsin needs, without Opsin: stays as it is for as long as pyproject.toml does.
FROM python:${PYTHON} AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/opsin
WORKDIR /source
COPY pyproject.toml ./
COPY deploy/requirements.py deploy/constraints.txt deploy/
RUN python deploy/requirements.py postgres s3 ray reports telemetry > /tmp/requirements.txt \
    && /opt/opsin/bin/pip install --constraint deploy/constraints.txt \
        --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt

FROM packages AS packages-cpu
# PyTorch's own index has the build without 4 GB of CUDA libraries; pip takes "2.15.0+cpu" before
# "2.15.0", and both are the version of the constraints.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python deploy/requirements.py models > /tmp/requirements.txt \
    && /opt/opsin/bin/pip install --constraint deploy/constraints.txt \
        --extra-index-url "${TORCH_INDEX}" --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt

FROM packages AS packages-cuda
# PyTorch's wheels bring CUDA along; the host needs the driver and NVIDIA's container toolkit.
RUN python deploy/requirements.py models > /tmp/requirements.txt \
    && /opt/opsin/bin/pip install --constraint deploy/constraints.txt \
        --requirement /tmp/requirements.txt \
    && rm /tmp/requirements.txt

FROM python:${PYTHON} AS runtime
# Numbers, because Kubernetes' runAsNonRoot knows no names.
RUN groupadd --gid 10001 opsin \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data \
        --shell /usr/sbin/nologin opsin \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data /data/models
ENV PATH=/opt/opsin/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    OPSIN_DATA_DIR=/data \
    OPSIN_HOST=0.0.0.0 \
    OPSIN_AUTH=keys
WORKDIR /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# For `opsin serve`; a worker has no port, and who starts one switches this off.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('OPSIN_PORT', '8000') + '/health', timeout=4)"]
ENTRYPOINT ["opsin"]
CMD ["serve"]

FROM runtime AS light
COPY --from=packages /opt/opsin /opt/opsin
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /opt/opsin/bin/pip install --no-cache-dir --no-deps /wheels/*.whl
USER 10001:10001

FROM runtime AS cuda
COPY --from=packages-cuda /opt/opsin /opt/opsin
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /opt/opsin/bin/pip install --no-cache-dir --no-deps /wheels/*.whl
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001

# The last one is what `docker build .` builds.
FROM runtime AS cpu
COPY --from=packages-cpu /opt/opsin /opt/opsin
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    /opt/opsin/bin/pip install --no-cache-dir --no-deps /wheels/*.whl
USER 10001:10001
