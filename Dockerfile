# The gateway as an image: docs/container.md says how to run it. Another base, such as a mirror's, is --build-arg NODE_IMAGE=….
ARG NODE_IMAGE=docker.io/library/node:24-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY . .
RUN npm ci --no-audit --no-fund && npm run build && npm prune --omit=dev --no-audit --no-fund

FROM ${NODE_IMAGE}
# By number, so that Kubernetes can see that it is not root. Everything else in the image is root's, and read only to it.
RUN install -d -o 10001 -g 10001 -m 700 /var/lib/mqtide && install -d -m 755 /etc/mqtide
WORKDIR /opt/mqtide
COPY --from=build /build/package.json /build/LICENSE ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/bin bin
COPY --from=build /build/dist dist
# Within a container, loopback is for the container alone. Beyond it the gateway starts only where it was said who may come in.
ENV NODE_ENV=production MQTIDE_HOST=0.0.0.0 MQTIDE_DATA_DIR=/var/lib/mqtide
USER 10001:10001
VOLUME /var/lib/mqtide
EXPOSE 1883 8083
STOPSIGNAL SIGTERM
# Ready means: listeners are bound, the store is loaded. With other ports or without HTTP, say another one.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8083/readyz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/opt/mqtide/bin/mqtide.js"]
CMD ["start"]
