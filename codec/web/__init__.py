"""Films to be watched: a page in a browser, served to this machine alone or written out as files, and mpv.

server      who may ask what: loopback, a random token in the address
resources   what there is to be asked for, and parts of it
presence    whether anybody looks
pages       the files that the page is made of; `export` writes them out
player      the page and a film, for a browser
restored    the restored film as a file that is made while it is read
mpv         that file and the film's other tracks, for mpv
"""
