# The exporter as a sidecar: non-root, works with a read-only root file system, writes only below
# /var/lib/llm-energy-exporter and only if `state_dir` says so.
#
# The base has to be a glibc one: the NVIDIA container runtime mounts the host's libnvidia-ml.so.1, which is linked
# against glibc. Releases are built with the base pinned by digest:
#   --build-arg BASE=docker.io/library/python:3.12-slim-bookworm@sha256:...
ARG BASE=docker.io/library/python:3.12-slim-bookworm

# hadolint ignore=DL3006 -- the tag is in the default of BASE, the digest in the release's argument
FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
COPY . .
# Bytecode is compiled here, since the final image may not write any. It is checked by the source's hash rather than
# its time, so that building twice gives the same files.
RUN python3 -m venv /opt/llm-energy-exporter \
 && /opt/llm-energy-exporter/bin/pip install --no-compile . \
 && /opt/llm-energy-exporter/bin/pip uninstall --yes --quiet setuptools pip \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/llm-energy-exporter/lib

# hadolint ignore=DL3006 -- as above
FROM ${BASE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="llm-energy-exporter" \
      org.opencontainers.image.description="Prometheus exporter that measures joules per LLM request" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/llm-energy-exporter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The state directory belongs to whoever runs the image; in Kubernetes an emptyDir or a volume goes there.
RUN install -d -o 65532 -g 65532 -m 0750 /var/lib/llm-energy-exporter
COPY --from=build /opt/llm-energy-exporter /opt/llm-energy-exporter
USER 65532:65532
WORKDIR /var/lib/llm-energy-exporter
VOLUME /var/lib/llm-energy-exporter
EXPOSE 9460
# No HEALTHCHECK: Kubernetes ignores it, and its probes are /-/healthy and /-/ready.
ENTRYPOINT ["llm-energy-exporter"]
CMD ["run"]
