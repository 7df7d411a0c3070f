# All binaries in one image; the command chooses. Pin both base images by digest in production:
# `docker buildx imagetools inspect debian:bookworm-slim` tells it.
# There is no PostgreSQL in it: DATABASE_URL names one.
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --locked --release -p app -p app-apiserver -p app-processor -p provider-simulator

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/app --create-home app
COPY --from=build \
    /source/target/release/app \
    /source/target/release/app-apiserver \
    /source/target/release/app-processor \
    /source/target/release/provider-simulator \
    /usr/local/bin/
USER app
WORKDIR /var/lib/app
EXPOSE 8080
CMD ["app-apiserver"]
