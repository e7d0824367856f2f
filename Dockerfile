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

# The binary is static and carries its own time zones. The chart's hooks run with this image, too.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY LICENSE /LICENSE
COPY --from=build /out/countersign /countersign
USER 65532:65532
ENTRYPOINT ["/countersign"]
