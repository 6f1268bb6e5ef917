"""`python -m service.cli`: the way `redrabbit up` starts its processes, whatever the PATH says."""

from service.cli import main

main()
