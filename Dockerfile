# One build for all five services; each is a target of its own:
#
#   docker build --target content -t freshet-content .
#
# The images run as a user without rights, hold one program and its certificates, and need no writable root.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
ENV CARGO_PROFILE_RELEASE_STRIP=symbols
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked \
      -p freshet-ingress -p freshet-validation -p freshet-content -p freshet-build -p freshet-control \
      --features program \
    && mkdir /app && cp target/release/freshet-ingress target/release/freshet-validation target/release/freshet-content \
       target/release/freshet-build target/release/freshet-control /app/

FROM gcr.io/distroless/cc-debian12:nonroot AS base
# The root is read-only; builds and snapshots on their way need a place.
VOLUME ["/tmp"]
WORKDIR /tmp
USER nonroot
ENV FRESHET_GRPC__ADDRESS=0.0.0.0:8081

FROM base AS validation
COPY --from=build /app/freshet-validation /app/freshet-validation
EXPOSE 8081
HEALTHCHECK CMD ["/app/freshet-validation", "healthcheck"]
ENTRYPOINT ["/app/freshet-validation"]

FROM base AS content
COPY --from=build /app/freshet-content /app/freshet-content
EXPOSE 8081
HEALTHCHECK CMD ["/app/freshet-content", "healthcheck"]
ENTRYPOINT ["/app/freshet-content"]

FROM base AS build-service
COPY --from=build /app/freshet-build /app/freshet-build
EXPOSE 8081
HEALTHCHECK CMD ["/app/freshet-build", "healthcheck"]
ENTRYPOINT ["/app/freshet-build"]

FROM base AS control
COPY --from=build /app/freshet-control /app/freshet-control
EXPOSE 8081
HEALTHCHECK CMD ["/app/freshet-control", "healthcheck"]
ENTRYPOINT ["/app/freshet-control"]

# Without gRPC: the variable of the base image is no setting of the edge.
FROM gcr.io/distroless/cc-debian12:nonroot AS ingress
WORKDIR /tmp
USER nonroot
ENV FRESHET_INGRESS__HTTP_ADDRESS=0.0.0.0:8080
COPY --from=build /app/freshet-ingress /app/freshet-ingress
EXPOSE 8080
HEALTHCHECK CMD ["/app/freshet-ingress", "healthcheck"]
ENTRYPOINT ["/app/freshet-ingress"]
