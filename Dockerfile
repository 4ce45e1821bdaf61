# syntax=docker/dockerfile:1
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH
ARG VERSION=unknown REVISION=unknown BRANCH=unknown BUILD_DATE=unknown
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -tags timetzdata \
    -ldflags "-s -w \
      -X github.com/prometheus/common/version.Version=$VERSION \
      -X github.com/prometheus/common/version.Revision=$REVISION \
      -X github.com/prometheus/common/version.Branch=$BRANCH \
      -X github.com/prometheus/common/version.BuildUser=docker \
      -X github.com/prometheus/common/version.BuildDate=$BUILD_DATE" \
    -o /out/mailprobe . && \
    go run ./deploy/notices /out/NOTICES
# Creates the empty folder that becomes /var/lib/mailprobe.
WORKDIR /out/state

# No shell, no package manager, nothing to patch but the binary itself.
FROM scratch
ARG VERSION=unknown REVISION=unknown
LABEL org.opencontainers.image.title="mailprobe" \
      org.opencontainers.image.description="Prometheus exporter that probes mail connectivity: IMAP, POP3 and SMTP, up to the login and the mailbox" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/LICENSE /out/NOTICES /
# For --state.file; a volume mounted here takes over its owner.
COPY --from=build --chown=65532:65532 /out/state /var/lib/mailprobe
COPY --from=build /out/mailprobe /mailprobe
# A number, so that Kubernetes' runAsNonRoot can verify that it is not root.
USER 65532:65532
EXPOSE 10925
# Follows --web.listen-address of the process in the container.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/mailprobe", "healthcheck"]
ENTRYPOINT ["/mailprobe"]
CMD ["--config.file=/etc/mailprobe/config.yml"]
