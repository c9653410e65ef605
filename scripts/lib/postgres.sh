# shellcheck shell=bash disable=SC2034,SC2154
# A throw-away Postgres of this checkout alone, for one script. Needs terminal.sh; `repository` is the path of the checkout.

# Starts the instance and sets `postgres_url`. The name carries a checksum of the checkout's path: two checkouts of one user
# do not get into each other's way.
start_postgres() {
  VIZINHO_PG_NAME=$1-$(printf '%s' "$repository" | cksum | cut -d ' ' -f 1)
  export VIZINHO_PG_NAME
  postgres_started=yes
  "$repository/scripts/postgres" start < /dev/null || return
  postgres_url=$("$repository/scripts/postgres" url)
}

# Ends what start_postgres started, if it did: `stop` keeps the data, `destroy` does not.
end_postgres() {
  [[ -n ${postgres_started:-} ]] || return 0
  postgres_started=''
  "$repository/scripts/postgres" "$1" < /dev/null || warn "Postgres could not be ended: scripts/postgres $1"
}
