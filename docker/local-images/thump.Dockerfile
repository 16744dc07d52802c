# The program as it was built outside, on the stage `runtime` of ../Dockerfile.
ARG RUNTIME_IMAGE=thump-runtime:local
FROM ${RUNTIME_IMAGE}
COPY thump /usr/local/bin/thump
