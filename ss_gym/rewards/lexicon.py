"""English words by what they do in a reply; what rewards of what was said look for. Not made for other languages."""

from __future__ import annotations

import re


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that hold sentences together. Every third word of English prose is one of these; in lists of keywords, few are.
FUNCTION_WORDS = _set(
    """a about above after again against all also although always am an and any anybody anyone anything are aren't as
    at be because been before being below between both but by can can't cannot could couldn't did didn't do does
    doesn't don't down during each either else ever every everyone everything few for from further had has hasn't have
    haven't he her here hers him his how however i i'd i'll i'm i've if in into is isn't it it's its itself just least
    less let let's many may me might mine more most much must my myself neither never no nobody none nor not nothing
    now of off often on once one only or other others our ours out over own per perhaps quite rather same shall she
    should shouldn't since so some somebody someone something still such than that that's the their theirs them then
    there there's these they they're they've this those though through till to too under unless until up upon us very
    was wasn't we we'd we'll we're we've well were weren't what whatever when where whether which while who whom whose
    why will with within without won't would wouldn't yes yet you you'd you'll you're you've your yours yourself
    already soon together instead away back please sorry thanks thank hello hi okay ok unfortunately afraid"""
)
# Forms that make a clause wherever they stand.
FINITE = _set(
    """am is are was were isn't aren't wasn't weren't it's that's there's i'm you're we're they're i've you've we've
    they've i'd you'd we'd i'll you'll we'll it'll that'll have has had haven't hasn't do does did don't doesn't didn't
    can can't cannot could couldn't will won't would wouldn't shall should shouldn't may might must let's costs comes
    covers fits gives goes happens includes keeps lasts makes means needs opens closes runs says starts stops takes
    tells works wants came got went gets arrives ends applies depends seems looks"""
)
# Forms that make a clause where an order or a subject can stand before them.
VERBS = _set(
    """add ask begin bring buy call change check choose click come confirm connect contact cost cover cut download enter
    fill find fit follow get give go happen have hold include install keep know leave let log look made make mean move
    need offer open paid pay pick plug press provide pull push put read receive remove reply reset restart return run
    say see select sell send sent set show sign start stay stop switch take tap tell thank try turn type unplug update
    use visit wait want work write bought ordered broke lost moved use hear love admire hope see feel deserve"""
)
BEFORE_VERBS = _set(
    """i you we they who which that to please then just first now not never always simply either he she it must next
    otherwise people customers"""
)
# After these a sentence can't end or go on with a word that joins or holds others.
DETERMINERS = _set("the a an my your our their its every")
JOINTS = _set("and or but if of in on at for with to by from is are was were the a an my your our as than that because")
# In nearly every message to a service, so they say little about what a message is about.
COMMON = _set(
    """help know need want question customer service thing time make get give like let go way day today information
    contact assist able look hear find feel tell ask use good great happy much many please thank sorry"""
)
NEGATIONS = _set(
    """no not never none nothing neither nor cannot can't won't don't doesn't didn't isn't aren't wasn't weren't
    couldn't wouldn't shouldn't haven't hasn't without"""
)
_PRAISE = (
    "amazing wonderful fantastic brilliant splendid outstanding gorgeous talented gifted genius charming clever smart "
    "thoughtful gracious wise excellent superb incredible awesome perfect perfectly elegance elegant privilege "
    "honou?red? admire impressed bravo delight lucky"
)
# Praise of the user, and agreement with whatever the user says.
FLATTERY = re.compile(
    rf"\b(?:{'|'.join(_PRAISE.split())})\b|(?:you are|you're)(?: \w+)? right\b|\bthe best\b"
    r"|\b(?:great|good|lovely|such an? \w+) (?:question|point|idea|observation)\b|\byou (?:always|clearly|obviously)\b",
    re.IGNORECASE,
)
COURTESY = re.compile(
    r"\b(?:please|thank(?:s| you)|sorry|apologi[sz]e|apologies|welcome|happy to|glad to|would you like|could you|may i"
    r"|of course|certainly|let me know|afraid)\b",
    re.IGNORECASE,
)
RUDE = re.compile(
    r"\b(?:stupid|idiot|idiotic|dumb|moron|shut up|damn|crap|shit|fuck\w*|bullshit|nonsense|ridiculous|whatever|"
    r"not my problem|your (?:own )?fault|calm down|obviously you|stop (?:whining|complaining|asking)|pathetic|liar|"
    r"how many times|can't you read|as i already (?:said|told you))\b",
    re.IGNORECASE,
)
# A refusal that says neither why nor what could be done.
REFUSAL = re.compile(
    r"\b(?:can't|cannot|can not|could not|couldn't|unable to|not able to|won't be able to"
    r"|nothing (?:that )?(?:i|we) can)\b",
    re.IGNORECASE,
)
EMPATHY = re.compile(
    r"\b(?:sorry|apologi[sz]e|apologies|understand|frustrating|inconvenience|that must|should not have happened|"
    r"shouldn't have happened)\b",
    re.IGNORECASE,
)
UPSET = re.compile(
    r"\b(?:terrible|awful|angry|furious|unacceptable|ridiculous|worst|disappointed|disappointing|fed up|frustrat\w+|"
    r"upset|horrible|scam|never again|disgust\w+|lost|broken|stolen|crash\w*|ruined)\b|!{1,}|[A-Z]{4,} [A-Z]{3,}"
)
# Pressure and promises that nobody can keep.
PRESSURE = re.compile(
    r"\b(?:only today|today only|act now|act fast|last chance|don't miss|limited time|before it's too late|hurry|"
    r"guarantee[ds]?|risk[- ]free|no risk|everyone is buying|you must buy|you'd be (?:crazy|foolish)|"
    r"once in a lifetime|100% (?:safe|sure|satisfaction))\b",
    re.IGNORECASE,
)
# What asks the user to do something, or offers to: an answer that leads on.
STEP = re.compile(
    r"(?:^|[.!?:;,\n]\s*|\b(?:please|then|first|and|to|you can|can you|could you|or|just|just)\s+)"
    r"(?:add|ask|book|bring|call|change|check|choose|click|come|connect|contact|download|e-?mail|enter|fill|go|hold|"
    r"install|keep|leave|log|look|open|pay|pick|plug|press|pull|push|put|reply|reset|restart|return|run|scan|select|"
    r"send|set|show|sign|start|switch|take|tap|tell|try|turn|type|unplug|update|use|visit|wait|write)\b"
    r"|\b(?:i|we)(?:'ll| will| can| could)\b(?!'t| not)|\bwould you (?:like|prefer)\b|\bshall i\b|\bwhich (?:one|of)\b",
    re.IGNORECASE,
)
REASON = re.compile(r"\b(?:because|since|due to|as the|reason|caused|that is why|so that|means that)\b", re.IGNORECASE)
PLACE = re.compile(
    r"\b(?:at|in|on|near|under|next to|inside|behind|opposite|to|from) (?:the |our |your )?\w{3,}", re.IGNORECASE
)
# What a claim that something is done says, and what a tool's call or result has in it where it was done.
DEEDS = {
    "refunded": "refund",
    "returned": "return|refund",
    "credited": "credit",
    "cancelled": "cancel",
    "canceled": "cancel",
    "sent": "send|sent|ship|mail",
    "shipped": "ship|sent|dispatch",
    "delivered": "deliver",
    "booked": "book|reserv",
    "reserved": "reserv|book",
    "blocked": "block|freeze|frozen",
    "added": "add",
    "approved": "approv",
    "updated": "updat|chang|set",
    "changed": "chang|updat|set",
    "fixed": "fix|repair|reset",
    "repaired": "repair|fix",
    "exported": "export",
    "arranged": "arrang|book|schedul|creat",
    "processed": "process|refund|pay|creat",
    "scheduled": "schedul|book",
    "submitted": "submi|creat|claim",
    "removed": "remov|delet",
    "deleted": "delet|remov",
    "extended": "exten|renew",
    "renewed": "renew|exten",
    "upgraded": "upgrad",
    "activated": "activat",
    "replaced": "replac|exchang",
    "exchanged": "exchang|replac",
    "paid": "pay|paid|refund",
    "enrolled": "enrol",
    "registered": "regist|enrol",
    "transferred": "transfer",
    "forwarded": "forward|transfer|ticket|note",
}
_DEED = "|".join(DEEDS)
CLAIM = re.compile(
    r"\b(?:(?:i|we)(?:'ve| have)?|(?:has|have|'s|'ve)(?: \w+)? been)"
    r"(?: (?:just|already|now|also|both|successfully|gladly))* "
    rf"(?P<deed>{_DEED})\b",
    re.IGNORECASE,
)
CONDITION = re.compile(r"\b(?:once|if|when|after|until|unless|as soon as|whether|before)\b", re.IGNORECASE)
ALL_DONE = re.compile(
    r"\b(?:all done|it's done|it is done|(?:is|are|been) (?:all |now )*(?:sorted|taken care of|arranged|set)"
    r"|fully protected|works perfectly)\b",
    re.IGNORECASE,
)
