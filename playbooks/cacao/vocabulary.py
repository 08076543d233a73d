"""The words of CACAO 2.0: step types, command types, agent types, closed enumerations.

An open vocabulary of the standard (`-ov`) only suggests, so it stands here only where a type of
it has properties of its own.
"""

from __future__ import annotations

STEP_TYPES = (
    "start", "end", "action", "playbook-action", "parallel", "if-condition", "while-condition",
    "switch-condition",
)  # fmt: skip
#: What CACAO 1 called what is something else now.
RENAMED = {"single": "action", "playbook": "playbook-action"}

#: Commands given by `command` or `command_b64`, and those given by `command_b64` alone.
PLAIN_COMMANDS = ("manual", "bash", "powershell", "ssh", "caldera-cmd")
ENCODED_COMMANDS = ("elastic", "jupyter", "kestrel", "sigma", "yara")
HTTP_COMMANDS = ("http-api", "openc2-http")
COMMAND_TYPES = (*PLAIN_COMMANDS, *ENCODED_COMMANDS, *HTTP_COMMANDS)

#: Agents and targets that have an address, and the others of the standard.
ADDRESSED = ("http-api", "linux", "net-address", "ssh")
AGENT_TYPES = (
    *ADDRESSED, "group", "individual", "location", "organization", "sector", "security-category",
)  # fmt: skip
ADDRESS_KINDS = ("dname", "ipv4", "ipv6", "l2mac", "url", "vlan")
AUTHENTICATION_TYPES = ("http-basic", "oauth2", "user-auth")
MARKING_TYPES = ("marking-statement", "marking-tlp", "marking-iep")
TLP_LEVELS = ("TLP:RED", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:GREEN", "TLP:CLEAR")

SUMMARY = (
    "manual_playbook", "external_playbooks", "parallel_processing", "if_logic", "while_logic",
    "switch_logic", "temporal_logic", "data_markings", "digital_signatures",
    "countersigned_signatures", "extensions",
)  # fmt: skip

#: UN M49 regions, as CACAO spells them (a closed enumeration).
REGIONS = frozenset(
    ("africa", "americas", "antarctica", "asia", "australia-new-zealand", "caribbean",
     "central-america", "central-asia", "eastern-africa", "eastern-asia", "eastern-europe",
     "europe", "latin-america-caribbean", "melanesia", "micronesia", "middle-africa",
     "northern-africa", "northern-america", "northern-europe", "oceania", "polynesia",
     "south-america", "south-eastern-asia", "southern-africa", "southern-asia",
     "southern-europe", "western-africa", "western-asia", "western-europe")
)  # fmt: skip
#: ISO 3166-1 alpha-2.
COUNTRIES = frozenset(
    ("AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AS", "AT", "AU", "AW",
     "AX", "AZ", "BA", "BB", "BD", "BE", "BF", "BG", "BH", "BI", "BJ", "BL", "BM", "BN",
     "BO", "BQ", "BR", "BS", "BT", "BV", "BW", "BY", "BZ", "CA", "CC", "CD", "CF", "CG",
     "CH", "CI", "CK", "CL", "CM", "CN", "CO", "CR", "CU", "CV", "CW", "CX", "CY", "CZ",
     "DE", "DJ", "DK", "DM", "DO", "DZ", "EC", "EE", "EG", "EH", "ER", "ES", "ET", "FI",
     "FJ", "FK", "FM", "FO", "FR", "GA", "GB", "GD", "GE", "GF", "GG", "GH", "GI", "GL",
     "GM", "GN", "GP", "GQ", "GR", "GS", "GT", "GU", "GW", "GY", "HK", "HM", "HN", "HR",
     "HT", "HU", "ID", "IE", "IL", "IM", "IN", "IO", "IQ", "IR", "IS", "IT", "JE", "JM",
     "JO", "JP", "KE", "KG", "KH", "KI", "KM", "KN", "KP", "KR", "KW", "KY", "KZ", "LA",
     "LB", "LC", "LI", "LK", "LR", "LS", "LT", "LU", "LV", "LY", "MA", "MC", "MD", "ME",
     "MF", "MG", "MH", "MK", "ML", "MM", "MN", "MO", "MP", "MQ", "MR", "MS", "MT", "MU",
     "MV", "MW", "MX", "MY", "MZ", "NA", "NC", "NE", "NF", "NG", "NI", "NL", "NO", "NP",
     "NR", "NU", "NZ", "OM", "PA", "PE", "PF", "PG", "PH", "PK", "PL", "PM", "PN", "PR",
     "PS", "PT", "PW", "PY", "QA", "RE", "RO", "RS", "RU", "RW", "SA", "SB", "SC", "SD",
     "SE", "SG", "SH", "SI", "SJ", "SK", "SL", "SM", "SN", "SO", "SR", "SS", "ST", "SV",
     "SX", "SY", "SZ", "TC", "TD", "TF", "TG", "TH", "TJ", "TK", "TL", "TM", "TN", "TO",
     "TR", "TT", "TV", "TW", "TZ", "UA", "UG", "UM", "US", "UY", "UZ", "VA", "VC", "VE",
     "VG", "VI", "VN", "VU", "WF", "WS", "YE", "YT", "ZA", "ZM", "ZW")
)  # fmt: skip
