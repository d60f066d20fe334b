/* tests/auth/postgres.h - secrets as PostgreSQL 15 made them (pg_authid.rolpassword), with the passwords they are of. */
#ifndef TESTS_AUTH_POSTGRES_H
#define TESTS_AUTH_POSTGRES_H

#define APP_PASSWORD "app"
#define APP_SCRAM                                                                                                      \
	"SCRAM-SHA-256$4096:OedL5+DvBFZlS8gmH3981Q==$0SudntAZVBO7TWUQ7MeZ8ivRRM5gl5/JZhW2K005YlA=:"                     \
	"051kfFfnEmJyp1et/cWawanoLq+RTMscE03P91VS5Oo="
#define MD5_USER "md5u"
#define MD5_USER_SECRET "md52efa1ed3b956200e6c79a74469ebac07" /* of "app" */

struct postgres_secret {
	const char *password, *secret;
	int         needs_saslprep; /* the bytes as they are would not do */
};

static const struct postgres_secret postgres_secrets[] = {
	{ APP_PASSWORD, APP_SCRAM, 0 },
	{ "Tr0ub4dor&3 with spaces",
	  "SCRAM-SHA-256$4096:Rec6gAUBMl6QkA6pIt3ajg==$hoD5c5VT6/r81ZkhUlNg6DJlu6uM+JygKnR10dV1FmM=:"
	  "WHEP6Nmq3IBXAHH8rq2OiPomcKGL7ob9k0ShNhgKbHQ=", 0 },
	{ "p\u00e4ssw\u00f6rd", /* composed letters */
	  "SCRAM-SHA-256$4096:f7wIF7fC5o/PX/R9hxmfYQ==$g7ktcpPo112uCNwrZrknXos6iecDtscoUvPQw/F36KM=:"
	  "f4Sya0l2MiYxAu0r0LRmRaCAAk3DfissEj+gOVRGlY0=", 0 },
	{ "a\u0308pfel", /* a decomposed letter */
	  "SCRAM-SHA-256$4096:IOFI2Spsq4hC7gbRgja7vg==$BK5AL4i2LAteDvxH/pCOwszB2Z1aLO9zbvMEMemjzxk=:"
	  "wKNPDr97N+ZLLbjJL09JV10ulHA4K9yocvx3GtWu6O8=", 1 },
	{ "o\ufb03ce", /* the ligature ffi */
	  "SCRAM-SHA-256$4096:AdV79/gOcOGfwTxJL0zzfg==$mV0NR5tkIJFbHEKY3w5WTpYkLf/LxVF6Q9D6zG93ZMA=:"
	  "O2NF7EYhrDMXkZ30D+cl7O0edYLy5Ixd90uFKfnHiE0=", 1 },
	{ "a\u00a0\x62", /* a space that does not break */
	  "SCRAM-SHA-256$4096:NTPqduhAkx5GJ5Hm+gdrQQ==$MkF2aDpa3tkrpCCoyjNTPbGWVpVTOOoKHz13K2BUP/s=:"
	  "xxQRe87teXOPs1VPAHXpyzHDywNSf/Q1w/Hfeclf96w=", 1 },
	{ "a\u00ad\x62", /* a soft hyphen, which goes */
	  "SCRAM-SHA-256$4096:81NpBokrCPD+Dk8cD5As8Q==$RUisndpd20iQiXB/2VYTtS4avkXhX3VrB5VqFtlbj+8=:"
	  "ge8WSYm99RdgA6wYHj2iUFtUuLQTiDPysDdTeGJR54s=", 1 },
	{ "\u00e4\x07\x62", /* a control character: prohibited, so taken as it is */
	  "SCRAM-SHA-256$4096:Lraa6xE0X3IPpMBBDD9ELA==$zfzt7rWKm04D11X8tuzwYlF9jDaROsRgUTXVSdrTnos=:"
	  "h37YFNc1lMZq8E8+P8fJmh0JninmDjMzmi9VH5FuC+Q=", 0 },
	{ "\u00ad", /* nothing would be left: taken as it is */
	  "SCRAM-SHA-256$4096:MXW82mPzPpoWAuC8qZHFFw==$MB1hDoX1pG1qmnNRi98HYvoEhuh2lPd9AGGKgKBNNBU=:"
	  "t37SZByRJZoi37c7eJ9wBR8MqMit7l1FmCWLO4m53VQ=", 0 },
	{ "a\U0001f600", /* not assigned in Unicode 3.2: taken as it is */
	  "SCRAM-SHA-256$4096:4JrfckZKN1XXFSaSgBfqMA==$SF3YWZCH//hHxMq714h19Q3N6YgInUErDerPMC3OR8s=:"
	  "WqAGl0b1XaoArJP1iAgs7YhxwQHV4R1mKvCXh2nvj2g=", 0 },
	{ "\uff21\u00bd", /* full width A, one half */
	  "SCRAM-SHA-256$4096:81uq8NpJjOwfbNNK/CamSA==$6vVtYy5goREUObymU8b4D0S4u1RCd2/YlF4e5NpOK18=:"
	  "eGZNSR7nDJ228E+7aWIn7LeUZT9wuPNX+vXZsi6s410=", 1 },
	{ "\u0627\x61", /* right-to-left and left-to-right mixed: prohibited */
	  "SCRAM-SHA-256$4096:BIlzOA968t2G9tiX0+EW6g==$eZw1QltfD6rNV9t3G75RGbpry/otcx6lbDAbslY6vyE=:"
	  "ku54wwKjg5jS4J38zUEVTVx1f0IMENAuwchnGtNJJSo=", 0 },
};

#endif
