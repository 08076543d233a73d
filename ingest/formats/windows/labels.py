"""What Windows writes for people, and what it means: titles, sections and labels by language.

The wording is that of the Security log's rendered messages (documented by Microsoft in "Windows
10 and Windows Server 2016 security auditing and monitoring reference" and its translations).
Everything is compared after `plain`.
"""

from __future__ import annotations

#: Longer than any title or label, characters with the blanks around it.
_LONGEST = 200


def plain(text: str) -> str:
    """A title or label for comparison: lower case, plain quotes and blanks, no end mark.

    Nothing for what is too long to be one: a megabyte of it took 60 ms.
    """
    if len(text) > _LONGEST:
        return ""
    known = text.replace("\u2019", "'").replace("\ufeff", "")
    return " ".join(known.lower().split()).rstrip(" .:")


_TITLES = {
    "1102": ("the audit log was cleared", "le journal d'audit a été effacé"),
    "4624": (
        "an account was successfully logged on",
        "l'ouverture de session d'un compte s'est correctement déroulée",
        "ein konto wurde erfolgreich angemeldet",
    ),
    "4625": (
        "an account failed to log on",
        "échec d'ouverture de session d'un compte",
        "fehler beim anmelden eines kontos",
    ),
    "4634": (
        "an account was logged off",
        "fermeture de session d'un compte",
        "ein konto wurde abgemeldet",
    ),
    "4647": ("user initiated logoff", "fermeture de session initiée par l'utilisateur"),
    "4648": (
        "a logon was attempted using explicit credentials",
        "tentative d'ouverture de session en utilisant des informations d'identification "
        "explicites",
        "anmeldeversuch mit expliziten anmeldeinformationen",
    ),
    "4656": (
        "a handle to an object was requested",
        "un handle vers un objet a été demandé",
    ),
    "4657": ("a registry value was modified", "une valeur de registre a été modifiée"),
    "4658": ("the handle to an object was closed", "le handle vers un objet a été fermé"),
    "4660": ("an object was deleted", "un objet a été supprimé"),
    "4661": ("a handle to an object was requested",),
    "4662": (
        "an operation was performed on an object",
        "une opération a été effectuée sur un objet",
    ),
    "4663": (
        "an attempt was made to access an object",
        "une tentative d'accès à un objet a été effectuée",
    ),
    "4670": (
        "permissions on an object were changed",
        "les autorisations sur un objet ont été modifiées",
    ),
    "4672": (
        "special privileges assigned to new logon",
        "privilèges spéciaux attribués à la nouvelle ouverture de session",
        "einer neuen anmeldung wurden besondere rechte zugewiesen",
    ),
    "4673": ("a privileged service was called", "un service privilégié a été appelé"),
    "4674": (
        "an operation was attempted on a privileged object",
        "tentative d'opération sur un objet privilégié",
    ),
    "4688": (
        "a new process has been created",
        "un nouveau processus a été créé",
        "ein neuer prozess wurde erstellt",
    ),
    "4689": ("a process has exited", "un processus est terminé", "ein prozess wurde beendet"),
    "4697": (
        "a service was installed in the system",
        "un service a été installé dans le système",
    ),
    "4698": ("a scheduled task was created", "une tâche planifiée a été créée"),
    "4699": ("a scheduled task was deleted", "une tâche planifiée a été supprimée"),
    "4700": ("a scheduled task was enabled", "une tâche planifiée a été activée"),
    "4701": ("a scheduled task was disabled", "une tâche planifiée a été désactivée"),
    "4702": ("a scheduled task was updated", "une tâche planifiée a été mise à jour"),
    "4719": (
        "system audit policy was changed",
        "la stratégie d'audit du système a été modifiée",
    ),
    "4720": (
        "a user account was created",
        "un compte d'utilisateur a été créé",
        "ein benutzerkonto wurde erstellt",
    ),
    "4722": ("a user account was enabled", "un compte d'utilisateur a été activé"),
    "4723": (
        "an attempt was made to change an account's password",
        "une tentative de modification de mot de passe d'un compte a été effectuée",
    ),
    "4724": (
        "an attempt was made to reset an account's password",
        "an attempt was made to reset an accounts password",
        "une tentative de réinitialisation de mot de passe d'un compte a été effectuée",
    ),
    "4725": ("a user account was disabled", "un compte d'utilisateur a été désactivé"),
    "4726": ("a user account was deleted", "un compte d'utilisateur a été supprimé"),
    "4727": ("a security-enabled global group was created",),
    "4728": ("a member was added to a security-enabled global group",),
    "4729": ("a member was removed from a security-enabled global group",),
    "4730": ("a security-enabled global group was deleted",),
    "4731": ("a security-enabled local group was created",),
    "4732": (
        "a member was added to a security-enabled local group",
        "un membre a été ajouté à un groupe local dont la sécurité est activée",
    ),
    "4733": (
        "a member was removed from a security-enabled local group",
        "un membre a été supprimé d'un groupe local dont la sécurité est activée",
    ),
    "4734": ("a security-enabled local group was deleted",),
    "4735": ("a security-enabled local group was changed",),
    "4737": ("a security-enabled global group was changed",),
    "4738": (
        "a user account was changed",
        "un compte d'utilisateur a été modifié",
        "ein benutzerkonto wurde geändert",
    ),
    "4740": (
        "a user account was locked out",
        "un compte d'utilisateur a été verrouillé",
        "ein benutzerkonto wurde gesperrt",
    ),
    "4741": ("a computer account was created", "un compte d'ordinateur a été créé"),
    "4742": ("a computer account was changed", "un compte d'ordinateur a été modifié"),
    "4743": ("a computer account was deleted", "un compte d'ordinateur a été supprimé"),
    "4754": ("a security-enabled universal group was created",),
    "4755": ("a security-enabled universal group was changed",),
    "4756": ("a member was added to a security-enabled universal group",),
    "4757": ("a member was removed from a security-enabled universal group",),
    "4758": ("a security-enabled universal group was deleted",),
    "4767": (
        "a user account was unlocked",
        "un compte d'utilisateur a été déverrouillé",
    ),
    "4768": (
        "a kerberos authentication ticket (tgt) was requested",
        "un ticket d'authentification kerberos (tgt) a été demandé",
    ),
    "4769": (
        "a kerberos service ticket was requested",
        "un ticket de service kerberos a été demandé",
    ),
    "4770": ("a kerberos service ticket was renewed",),
    "4771": (
        "kerberos pre-authentication failed",
        "la pré-authentification kerberos a échoué",
    ),
    "4776": (
        "the computer attempted to validate the credentials for an account",
        "the domain controller attempted to validate the credentials for an account",
        "l'ordinateur a tenté de valider les informations d'identification d'un compte",
    ),
    "4778": ("a session was reconnected to a window station",),
    "4779": ("a session was disconnected from a window station",),
    "4781": ("the name of an account was changed",),
    "4798": (
        "a user's local group membership was enumerated",
        "l'appartenance d'un utilisateur à un groupe local a été énumérée",
    ),
    "4799": (
        "a security-enabled local group membership was enumerated",
        "l'appartenance à un groupe local dont la sécurité est activée a été énumérée",
    ),
    "5136": (
        "a directory service object was modified",
        "un objet du service d'annuaire a été modifié",
    ),
    "5137": ("a directory service object was created",),
    "5140": (
        "a network share object was accessed",
        "un objet de partage réseau a fait l'objet d'un accès",
    ),
    "5141": ("a directory service object was deleted",),
    "5145": (
        "a network share object was checked to see whether client can be granted desired access",
    ),
    "5152": ("the windows filtering platform blocked a packet",),
    "5156": (
        "the windows filtering platform has allowed a connection",
        "the windows filtering platform has permitted a connection",
        "la plateforme wpf (windows filtering platform) a autorisé une connexion",
    ),
    "5157": ("the windows filtering platform has blocked a connection",),
    "5158": ("the windows filtering platform has permitted a bind to a local port",),
    "6272": (
        "network policy server granted access to a user",
        "le serveur nps a accordé l'accès à un utilisateur",
    ),
    "6273": (
        "network policy server denied access to a user",
        "le serveur nps a refusé l'accès à un utilisateur",
    ),
}

#: The number of an event by its title.
TITLES: dict[str, str] = {}
for _code, _names in _TITLES.items():
    for _name in _names:
        TITLES.setdefault(_name, _code)

#: Events that are failures by what they are, and those whose error code says it.
FAILURES = frozenset({"4625", "4771", "5152", "5157", "6273"})
BOTH = frozenset({"4768", "4769", "4776"})

#: What a section is about, by its heading: the beginning of EventData's names.
SECTIONS = {
    **dict.fromkeys(
        ("subject", "creator subject", "sujet", "objet", "antragsteller", "objet du créateur"),
        "Subject",
    ),
    **dict.fromkeys(
        (
            *("new logon", "nouvelle ouverture de session", "neue anmeldung"),
            *("account for which logon failed", "konto, für das die anmeldung fehlgeschlagen ist"),
            "compte pour lequel l'ouverture de session a échoué",
            *("account whose credentials were used", "target subject", "objet cible"),
            "compte dont les informations d'identification ont été utilisées",
            *("account information", "informations sur le compte", "kontoinformationen"),
        ),
        "TargetUser",
    ),
    **dict.fromkeys(
        (
            *("target account", "compte cible", "zielkonto", "new account", "nouveau compte"),
            *("account that was locked out", "compte verrouillé", "user", "utilisateur"),
            *("group", "groupe", "new group", "deleted group", "computer account"),
            *("new computer account", "computer account that was changed", "nouvel ordinateur"),
        ),
        "Target",
    ),
    **dict.fromkeys(("member", "membre", "mitglied"), "Member"),
    **dict.fromkeys(("service information", "informations sur le service"), "Service"),
}

_LABELS = {
    "ProcessId": ("process id", "caller process id", "creator process id", "id du processus"),
    "ProcessName": ("process name", "caller process name", "nom du processus", "prozessname"),
    "NewProcessId": ("new process id", "id du nouveau processus", "neue prozess-id"),
    "NewProcessName": ("new process name", "nom du nouveau processus", "neuer prozessname"),
    "ParentProcessName": (
        *("creator process name", "nom du processus créateur"),
        "name des erstellerprozesses",
    ),
    "CommandLine": (
        *("process command line", "ligne de commande du processus", "prozessbefehlszeile"),
    ),
    "TokenElevationType": ("token elevation type",),
    "MandatoryLabel": ("mandatory label",),
    "LogonType": ("logon type", "type d'ouverture de session", "anmeldetyp"),
    "WorkstationName": (
        *("workstation name", "nom de la station de travail", "arbeitsstationsname"),
    ),
    "Workstation": ("source workstation", "station de travail source"),
    "IpAddress": (
        *("source network address", "client address", "network address"),
        *("adresse du réseau source", "adresse du client", "quellnetzwerkadresse"),
    ),
    "IpPort": ("client port", "port", "port du client"),
    "LogonProcessName": ("logon process", "processus d'ouverture de session", "anmeldeprozess"),
    "AuthenticationPackageName": (
        *("authentication package", "package d'authentification"),
        "authentifizierungspaket",
    ),
    "LmPackageName": ("package name (ntlm only)", "nom du package (ntlm uniquement)"),
    "KeyLength": ("key length", "longueur de la clé", "schlüssellänge"),
    "Status": ("status", "result code", "failure code", "error code", "état", "code d'erreur"),
    "SubStatus": ("sub status", "sous-état", "unterstatus"),
    "FailureReason": ("failure reason", "raison de l'échec", "fehlerursache"),
    "ServiceName": ("service name", "nom du service"),
    "ServiceSid": ("service id", "id du service"),
    "ServiceFileName": ("service file name", "nom du fichier de service"),
    "ServiceType": ("service type", "type de service"),
    "ServiceStartType": ("service start type", "type de démarrage du service"),
    "ServiceAccount": ("service account", "compte de service"),
    "TicketOptions": ("ticket options", "options du ticket"),
    "TicketEncryptionType": ("ticket encryption type", "type de chiffrement du ticket"),
    "PreAuthType": ("pre-authentication type", "type de pré-authentification"),
    "PrivilegeList": ("privileges", "privilèges"),
    "ObjectServer": ("object server", "serveur de l'objet"),
    "ObjectType": ("object type", "type d'objet"),
    "ObjectName": ("object name", "nom de l'objet"),
    "ObjectValueName": ("object value name",),
    "HandleId": ("handle id", "id du handle"),
    "AccessMask": ("access mask", "masque d'accès"),
    "AccessList": ("accesses", "accès"),
    "OldValue": ("old value", "ancienne valeur"),
    "NewValue": ("new value", "nouvelle valeur"),
    "ShareName": ("share name", "nom du partage"),
    "ShareLocalPath": ("share path", "chemin d'accès du partage"),
    "RelativeTargetName": ("relative target name",),
    "TaskName": ("task name", "nom de la tâche"),
    "TaskContent": ("task content",),
    "TaskContentNew": ("task new content", "nouveau contenu de la tâche"),
    "Application": ("application name", "nom de l'application"),
    "Direction": ("direction",),
    "SourceAddress": ("source address", "adresse source"),
    "SourcePort": ("source port", "port source", "quellport"),
    "DestAddress": ("destination address", "adresse de destination"),
    "DestPort": ("destination port", "port de destination"),
    "Protocol": ("protocol", "protocole"),
    "LayerName": ("layer name", "nom de la couche"),
    "TargetServerName": ("target server name", "nom du serveur cible"),
    "TargetInfo": ("additional information", "informations supplémentaires"),
    "SamAccountName": ("sam account name", "nom du compte sam"),
    "DisplayName": ("display name", "nom complet"),
    "UserPrincipalName": ("user principal name", "nom principal de l'utilisateur"),
    "CallerComputerName": ("caller computer name",),
    "OldTargetUserName": ("old account name",),
    "NewTargetUserName": ("new account name",),
    "ClientName": ("client name",),
    "SessionName": ("session name",),
    "ObjectDN": ("dn",),
    "ObjectGUID": ("guid",),
    "ObjectClass": ("class", "classe"),
    "AttributeLDAPDisplayName": ("ldap display name",),
    "AttributeValue": ("value", "valeur"),
}

_BY_LABEL = {label: name for name, names in _LABELS.items() for label in names}

#: Labels of an account, by what follows the section's beginning.
_ACCOUNT = {
    **dict.fromkeys(("security id", "id de sécurité", "sicherheits-id", "user id"), "Sid"),
    **dict.fromkeys(
        ("account name", "nom du compte", "nom de compte", "kontoname", "group name"), "UserName"
    ),
    **dict.fromkeys(
        (
            *("account domain", "domaine du compte", "domaine de compte", "kontodomäne"),
            *("group domain", "domain name", "supplied realm name"),
            "nom du domaine kerberos fourni",
        ),
        "DomainName",
    ),
    **dict.fromkeys(("logon id", "id d'ouverture de session", "anmelde-id"), "LogonId"),
    **dict.fromkeys(("logon guid", "guid d'ouverture de session", "anmelde-guid"), "LogonGuid"),
}

#: Where one label means different names in different events.
_BY_EVENT = {
    ("4624", "source port"): "IpPort",
    ("4625", "source port"): "IpPort",
    ("4648", "port"): "IpPort",
    ("5140", "source address"): "IpAddress",
    ("5140", "source port"): "IpPort",
    ("5145", "source address"): "IpAddress",
    ("5145", "source port"): "IpPort",
    ("5156", "process id"): "ProcessID",
    ("5157", "process id"): "ProcessID",
    ("4825", "user name"): "AccountName",
    ("4825", "domain"): "AccountDomain",
    ("4825", "client address"): "ClientAddress",
    ("4776", "logon account"): "TargetUserName",
    ("4776", "compte d'ouverture de session"): "TargetUserName",
    ("4776", "authentication package"): "PackageName",
    ("7045", "service file name"): "ImagePath",
    ("7045", "service start type"): "StartType",
    ("7045", "service account"): "AccountName",
    ("4798", "process id"): "CallerProcessId",
    ("4798", "process name"): "CallerProcessName",
    ("4799", "process id"): "CallerProcessId",
    ("4799", "process name"): "CallerProcessName",
    ("4624", "port source"): "IpPort",
    ("4625", "port source"): "IpPort",
    ("4740", "caller computer name"): "TargetDomainName",
}


def data_name(section: str, label: str, code: str) -> str | None:
    """EventData's name of what stands at a label, None where the label is not known."""
    if (name := _BY_EVENT.get((code, label))) is not None:
        return name
    if (what := _ACCOUNT.get(label)) is None:
        return _BY_LABEL.get(label)
    if not section:
        return None
    if section == "Member":
        return {"Sid": "MemberSid", "UserName": "MemberName"}.get(what)
    if what == "Sid":
        return {"Subject": "SubjectUserSid", "TargetUser": "TargetUserSid"}.get(
            section, "TargetSid"
        )
    return what if what == "LogonGuid" else ("Subject" if section == "Subject" else "Target") + what
