#!/bin/sh
# One turn of a schedule: the forecasts that can be made and are not there yet, the scores of earlier ones, the health.
#
# It may be started as often as one likes, and twice at once: what is made is not made again, and who comes second
# leaves (exit 75). A late analysis is caught up with, for the last three days. Exit codes are those of `pinnwx --help`.
# MAX_AGE is how old [h] the newest analysis may be (exit 69): about twice the step of the analyses, so 12 where they
# come every 6 hours and 48 where they come once a day.
set -u
: "${PINNWX:=pinnwx}" "${RUN:?}" "${ANALYSES:?}" "${FORECASTS:?}" "${HOURS:=240}" "${MAX_AGE:=12}"
: "${OPTIONS:=--plots --score --keep-days 30}"

$PINNWX forecast-series --run "$RUN" --data "$ANALYSES" --out "$FORECASTS" --init P3D/latest --hours "$HOURS" \
    --max-age "$MAX_AGE" $OPTIONS
code=$?
$PINNWX status --run "$RUN" --forecasts "$FORECASTS" ${METRICS:+--metrics "$METRICS"}
case $code in
    0 | 75) ;;
    *) [ -z "${ON_FAILURE:-}" ] || EXIT_CODE=$code sh -c "$ON_FAILURE" ;;
esac
exit $code
