#!/bin/sh
# Installs the servers that the tests start, when it may; says how to get them otherwise.
missing=""
command -v prometheus >/dev/null && command -v promtool >/dev/null || missing="$missing prometheus"
command -v prometheus-alertmanager >/dev/null && command -v amtool >/dev/null || missing="$missing prometheus-alertmanager"
command -v chromium >/dev/null || missing="$missing chromium"
command -v systemd-analyze >/dev/null || missing="$missing systemd"
command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || missing="$missing libfaketime"
command -v nats-server >/dev/null || missing="$missing nats-server"
command -v arv-fake-gv-camera-0.8 >/dev/null || missing="$missing aravis-tools"
command -v mosquitto >/dev/null && command -v mosquitto_passwd >/dev/null || missing="$missing mosquitto"
[ -z "$missing" ] && exit 0
how="apt-get install --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then as=""
elif sudo -n true 2>/dev/null; then as="sudo -n"
else
  echo "tests need Debian packages:$missing. Get them with: sudo $how" >&2
  exit 2
fi
$as apt-get update -qq && DEBIAN_FRONTEND=noninteractive $as apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
  { echo "could not install:$missing. Get them with: $how" >&2; exit 2; }
