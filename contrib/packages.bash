# contrib/packages.bash - which Debian packages building, the lab and the tests need, and their installation. Sourced.
#
# Owns: the lists. Never: leaves a service running or a port taken: Debian's packages start nothing while they are
# installed here, and nothing at the next boot.
# The script that sources it has the functions say TEXT (one line of progress) and fail TEXT (one line, and exit).

build_packages=(gcc libc6-dev make autoconf automake pkg-config libevent-dev libssl-dev libpq-dev libcurl4-openssl-dev
	libc-ares-dev libjansson-dev libidn-dev libpg-query-dev uthash-dev)
lab_packages=(python3 postgresql patroni python3-etcd python3-psycopg2 etcd-server openssl)
test_packages=(check python3-pytest python3-psycopg python3-asyncpg python3-cryptography haproxy pgbouncer check-postgres
	munin-plugins-core munin-plugins-extra libdbd-pg-perl curl iproute2 nftables)
driver_packages=(nodejs npm default-jdk-headless libpostgresql-jdbc-java) # for tests/live: log-ins and lost servers; it does without
ci_packages=(clang xz-utils)

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Any release of PostgreSQL, node or Java will do, also one that did not come through Debian's own name for it.
is_there() {
	case $1 in
	postgresql) compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || is_installed postgresql ;;
	nodejs) command -v node >/dev/null ;;
	npm) command -v npm >/dev/null ;;
	default-jdk-headless) command -v javac >/dev/null ;;
	*) is_installed "$1" ;;
	esac
}

# install_packages PACKAGE...: those that are missing.
install_packages() {
	local package missing=()
	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		say "not a Debian: taking it for granted that these are installed: $*"
		return
	fi
	for package in "$@"; do
		is_there "$package" || missing+=("$package")
	done
	if [ ${#missing[@]} -eq 0 ]; then
		say "packages: all installed"
		return
	fi
	[ "$(id -u)" = 0 ] || fail "packages are missing, and only root can install them: apt-get install ${missing[*]}"
	say "packages: installing ${missing[*]}"
	keep_services_down
	apt_get update || true # one stale source is no reason to stop; install will tell
	apt_get install --no-install-recommends "${missing[@]}" ||
		fail "apt-get failed: $(grep -h '^E:' "$apt_log" | tail -n 1), all of it in $apt_log"
	leave_services_down
	say "packages: ${#missing[@]} and what they need are installed"
	rm -f "$apt_log"
}

# Quiet, its own words in a file, its progress in steps of 20 %.
apt_get() {
	local kind rest percent shown=-20
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
		-o Dpkg::Options::=--force-confold -o APT::Status-Fd=3 "$@" 3>&1 >>"$apt_log" 2>&1 </dev/null |
		while IFS=: read -r kind _ percent rest; do
			percent=${percent%%.*}
			if [ "$kind" = pmstatus ] && [ "$((percent / 20 * 20))" -gt "$shown" ]; then
				shown=$((percent / 20 * 20))
				say "packages: $shown %"
			fi
		done
}

# Debian starts a service as soon as it is installed, and PostgreSQL's package also makes a cluster on port 5432. Both
# are prevented by Debian's own means, for the time of the installation only, and only if the machine has no policy yet.
keep_services_down() {
	apt_log=$(mktemp /tmp/pgsluice-apt.XXXXXX)
	trap undo_policy EXIT
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		policy=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\n# Of pgsluice, while it installs packages.\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	if ! is_installed postgresql-common; then
		no_main_cluster=/etc/postgresql-common/createcluster.d/pgsluice.conf
		mkdir -p "${no_main_cluster%/*}"
		echo "create_main_cluster = false" >"$no_main_cluster"
	fi
	is_installed etcd-server || new_services+=(etcd)
	is_installed patroni || new_services+=(patroni)
	is_installed pgbouncer || new_services+=(pgbouncer)
}

undo_policy() {
	rm -f ${policy:+"$policy"} ${no_main_cluster:+"$no_main_cluster"}
}

# Not at the next boot either, if it was us who brought them.
leave_services_down() {
	local service
	for service in ${new_services[@]+"${new_services[@]}"}; do
		deb-systemd-helper disable "$service.service" >>"$apt_log" 2>&1 || true
		update-rc.d "$service" disable >>"$apt_log" 2>&1 || true
	done
	undo_policy
	trap - EXIT
}
policy="" no_main_cluster="" apt_log="" new_services=()

# newer_patroni DIR: unpack the Patroni of Debian trixie there, unless it is there: that of bookworm knows no before_stop. It is
# plain Python, and runs from there. False: it can't be had. Needs no root, and changes nothing that is installed.
newer_patroni() {
	local apt=$1/apt package
	[ ! -e "$1/patroni" ] || return 0
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$1/new" || return 1
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >"$apt/sources.list"
	: >"$apt/status"
	local options=(-q -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$apt/lists"
		-o Dir::State::Status="$apt/status" -o Dir::Cache="$apt/cache" -o Acquire::Languages=none -o Acquire::Retries=1
		-o Acquire::http::Timeout=20 -o APT::Sandbox::User=)
	(cd "$apt" && apt-get "${options[@]}" update && apt-get "${options[@]}" download patroni python3-ydiff) >"$apt/log" 2>&1 </dev/null ||
		return 1
	for package in "$apt"/*.deb; do
		dpkg-deb -x "$package" "$1/new" || return 1
	done
	rm -rf "$apt"
	chmod -R a+rX "$1/new" && mv "$1/new" "$1/patroni"
}

# ensure_configure CHECKOUT LOG: what autoreconf makes of configure.ac, if it is missing or older.
ensure_configure() {
	if [ ! -x "$1/configure" ] || [ "$1/configure.ac" -nt "$1/configure" ]; then
		say "building: autoreconf"
		(cd "$1" && autoreconf -i) >>"$2" 2>&1 || build_failed autoreconf "$2"
	fi
}

# build_failed WHAT LOG
build_failed() {
	tail -n 20 "$2" >&2
	fail "$1 failed, see $2"
}
