# syntax=docker/dockerfile:1
# The one binary in a small image, as a user without rights. docker-compose.yml builds it.

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# The queries were checked against a database when they were written; here their record is enough.
ENV SQLX_OFFLINE=true
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p gream && strip -o /gream target/release/gream

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 gream \
    && install --directory --owner=gream --mode=700 /var/lib/gream/pictures /var/lib/gream/sandbox
COPY --from=build /gream /usr/local/bin/gream
USER 10001
WORKDIR /var/lib/gream
# The API, and every process's metrics and health.
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["gream", "health", "http://127.0.0.1:9090/health/ready"]
ENTRYPOINT ["gream"]
