# SPDX-License-Identifier: Apache-2.0
# The Debian 12 packages Videogate needs, and the function that installs those that are missing. Sourced, not run.
# shellcheck shell=bash

VG_PACKAGES_BUILD=(gcc libc6-dev cmake ninja-build pkg-config python3 libgrpc-dev libprotobuf-c-dev libprotobuf-dev
  protobuf-c-compiler protobuf-compiler libnghttp2-dev node-llhttp libssl-dev libcurl4-openssl-dev libpq-dev
  libuv1-dev libcjson-dev libavcodec-dev libavformat-dev libavutil-dev libswscale-dev libfreetype-dev)
VG_PACKAGES_RUN=(postgresql-15 fonts-dejavu-core ffmpeg curl openssl ca-certificates procps util-linux)
VG_PACKAGES_TEST=(clang clang-format clang-tidy libclang-rt-14-dev libcmocka-dev valgrind libc6-dbg ccache nghttp2-client
  nodejs npm git chromium python3-pytest python3-grpcio python3-protobuf python3-cryptography python3-psycopg2 python3-h2
  protobuf-compiler-grpc protoc-gen-go protoc-gen-go-grpc golang-go golang-google-grpc-dev golang-google-protobuf-dev
  protobuf-compiler-grpc-java-plugin default-jdk-headless libgrpc-java libprotobuf-java libguava-java
  libgeronimo-annotation-1.3-spec-java spin iproute2 nftables python3-dnslib python3-seccomp systemd pgbouncer)

# Only for fault campaigns by hand (tests/run.sh faults).
VG_PACKAGES_FAULTS=(faketime iptables patroni etcd-server python3-etcd nginx-light haproxy varnish trafficserver nghttp2-proxy
  strace)

# vg_install PACKAGE...: installs what is missing; as an ordinary user through sudo, for apt alone.
vg_install() {
  local missing=() package sudo=()
  for package in "$@"; do
    # A tool that is already here another way (node from a tarball, say) need not come from Debian as well.
    case $package in
      nodejs | npm) command -v "${package/nodejs/node}" >/dev/null && continue ;;
    esac
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  # nghttp2 before deb12u3 lacks a security fix that the bridge needs.
  local have
  have=$(dpkg-query -W -f '${Version}' libnghttp2-14 2>/dev/null || true)
  if [ -n "$have" ] && dpkg --compare-versions "$have" lt 1.52.0-1+deb12u3; then
    missing+=(libnghttp2-14 libnghttp2-dev)
  fi
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
      echo "videogate: these packages are missing and sudo is not here to install them: ${missing[*]}" >&2
      return 1
    }
    sudo=(sudo)
  fi
  echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
  local log
  log=$(mktemp)
  # Debian must not start its own PostgreSQL cluster for us: ours is private.
  if ! { "${sudo[@]}" apt-get update -qq &&
    "${sudo[@]}" mkdir -p /etc/postgresql-common/createcluster.d &&
    echo 'create_main_cluster = false' |
    "${sudo[@]}" tee /etc/postgresql-common/createcluster.d/videogate.conf >/dev/null &&
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    echo "videogate: a Debian package could not be had (full log: $log)" >&2
    return 1
  fi
  rm -f "$log"
}
