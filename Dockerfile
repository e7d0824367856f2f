ARG GO_VERSION=1.26

FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY *.go ./
COPY api api
COPY internal internal
COPY webhooks webhooks
COPY config config
COPY controllers controllers
ARG TARGETOS TARGETARCH VERSION=unknown
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/countersign .

# The binary is static and carries its own time zones. The chart's hooks run with this image, too. "make image" builds
# this stage without a registry, around a binary that it builds beforehand.
FROM scratch
ARG VERSION=unknown REVISION=unknown
LABEL org.opencontainers.image.title="Countersign" \
      org.opencontainers.image.description="Governs what AI agents and service accounts may change in a cluster, and when." \
      org.opencontainers.image.source="https://github.com/countersign-dev/countersign" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY LICENSE /LICENSE
COPY --from=build /out/countersign /countersign
USER 65532:65532
ENTRYPOINT ["/countersign"]
