#!/bin/sh
# Starts RabbitMQ with a port mapper (epmd) of its own, as its child: the one that Erlang would start by itself outlives every node.
# Usage: start.sh RABBITMQ_SERVER, with ERL_EPMD_PORT in the environment.
set -eu
epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 &
until epmd -port "$ERL_EPMD_PORT" -names >/dev/null 2>&1; do sleep 0.05; done
exec "$1"
