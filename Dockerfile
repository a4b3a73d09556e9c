# What a worker runs, by JobSet and by SkyPilot alike: EXTRA=tpu on a slice of TPU, EXTRA=cuda on a GPU.
#   docker build --build-arg CODE=$(git describe --always --dirty --abbrev=12) --tag IMAGE .
FROM python:3.11-slim-bookworm
# bubblewrap is the box for programs that models write; tini hands on signals and buries what a box leaves.
RUN apt-get update && apt-get install --yes --no-install-recommends bubblewrap tini && rm -rf /var/lib/apt/lists/*
WORKDIR /ablate
COPY . .
ARG EXTRA=tpu
# The versions of the lock, of what these extras need alone: no TensorFlow, no Beam. The code stays where it lies, beside
# the lock, whose digest its records say.
RUN pip install --no-cache-dir --constraint requirements.lock --editable ".[${EXTRA},gcs]"
# There is no .git here: every record says what this does. A build without it is refused.
ARG CODE
RUN test -n "${CODE}"
ENV ABLATE_CODE=${CODE} PYTHONUNBUFFERED=1
ENTRYPOINT ["tini", "--"]
CMD ["ablate", "--help"]
