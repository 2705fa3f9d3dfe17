#!/bin/sh
# The nearest charger of at least 22 kW, asked of an agent.
#   find_charger.sh http://127.0.0.1:7878             over HTTP: curl, jq
#   find_charger.sh mqtt://127.0.0.1:1883/gw-7        through a broker, of the agent gw-7: mosquitto_rr, jq
set -eu
question='{"service_name": "charging", "constraints": {"location": {"radius_m": 5000}, "resources": {"power_kw": ">=22"}}}'
case $1 in
mqtt://*)
    rest=${1#mqtt://} host=${1#mqtt://} && host=${host%%:*} port=${rest#*:} && port=${port%%/*}
    answer=$(mosquitto_rr -V 5 -W 10 -h "$host" -p "$port" -t "wayside/1/q/${rest#*/}" -e "find-charger/$$" -m "$question") ;;
*) answer=$(curl -sS --max-time 10 -H 'content-type: application/json' -d "$question" "$1/v1/discovery/services") ;;
esac
printf '%s' "$answer" | jq -er '.instances[0] // empty | "\(.id) at \(.address):\(.port), \(.distance_m | round) m away"'
