# SynVLP for the CPU, or with TORCH_INDEX= for NVIDIA GPUs; docs/cluster.md says how it is built and run.
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
# Where PyTorch without CUDA lies. Empty takes the wheel of the package index, which brings CUDA along.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=demo,corpora,lora,detection
COPY --from=wheel /wheels /wheels
COPY constraints.txt /wheels/
RUN pip install --no-cache-dir --disable-pip-version-check -c /wheels/constraints.txt \
      ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "synvlp[$EXTRAS] @ file://$(ls /wheels/*.whl)" \
    && useradd --uid 1000 --create-home synvlp \
    && install --directory --owner synvlp /work
USER 1000
WORKDIR /work
# Caches of libraries go where any user may write: `docker run --user` names one without a home.
ENV HOME=/tmp PYTHONUNBUFFERED=1
ENTRYPOINT ["synvlp"]
CMD ["--help"]
