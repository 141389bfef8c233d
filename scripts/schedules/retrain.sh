#!/bin/sh
# Once a week: the live model learns on from the analyses that have come since; its successor goes live if it is not
# worse. That it was refused (exit 77) and that there is nothing fresh yet (69) are no failures.
set -u
: "${PINNWX:=pinnwx}" "${RUN:?}" "${ANALYSES:?}"

$PINNWX retrain --run "$RUN" --data "$ANALYSES"
code=$?
case $code in
    0 | 69 | 77) exit 0 ;;
    75) ;;
    *) [ -z "${ON_FAILURE:-}" ] || EXIT_CODE=$code sh -c "$ON_FAILURE" ;;
esac
exit $code
