"""The command `calibrate`: what proxies learned here, carried to where there is no sensor."""
