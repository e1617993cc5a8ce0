"""Questions, requests and evidence, told by their form. Notation as in `cues`."""

from __future__ import annotations

import re

from candor_guard.neutral.text import Pattern, pattern

QUESTION = pattern(
    r"(?:(?:and|but|so|ok|okay|then|well|also|now|oh|wait|hmm+|please|because),? "
    r"){0,3}(?:what(?:'s|'re|'d)?|how(?:'s|'d)?|why(?:'s|'d)?|when(?:'s)?|where(?:'s)?|who(?:'s)?|"
    r"whose|which|whom|is|are|was|were|am|do|does|did|can|could|would|will|should|shall|may|might|"
    r"have|has|had|must|if|whether|when|isn't|aren't|wasn't|weren't|don't|doesn't|didn't|can't|"
    r"couldn't|won't|wouldn't|shouldn't|hasn't|haven't|hadn't|any (?:tips|ideas|advice|thoughts)|"
    r"anything|thoughts|in what|to what|for what|at what|on what)\b"
)

REQUEST = pattern(
    r"(?:(?:and|but|so|ok|okay|then|also|now|please|pls|just|kindly),? ){0,3}(?:(?:can|could|"
    r"would|will) you\b|i'd like (?:you|to)\b|i would like (?:you|to)\b|i want you to (?!say|"
    r"admit|confirm|agree)|i need (?:you to (?!say|admit|confirm|agree)|help|a|an|some)\b|"
    r"help me\b|let me know\b|tell me (?:what|how|about|if|why|whether|more|which|when|where|who|"
    r"a bit|something|your)\b|(?:what|how|why|where|when|who|which) (?:do|does|did|is|are|can|"
    r"could|should|would|will|to|about|much|many|long|am|was)\b|(?:polish|fix)\b|(?:write|make|"
    r"give|explain|show|list|rewrite|summari[sz]e|translate|shorten|create|generate|expand|format|"
    r"draft|suggest|describe|convert|recommend|compare|design|compose|outline|edit|proofread|"
    r"review|rate|critique|walk me through|remind me|plan|name|find|calculate|compute|solve|turn|"
    r"put|add|rank|pick|choose|answer|share your|check (?:my|this|the|our|whether|if))\b)"
)

# Fishing for a yes to what was said just before; no claim of its own.
CONFIRM = pattern(
    r"(?:so |ok |okay |and )?(?:(?:is|was|are|were|does|do|did|am|can|will|has|have|should|would|"
    r"isn't|wasn't|aren't|weren't|doesn't|don't|didn't|can't|won't|hasn't|haven't|shouldn't|"
    r"wouldn't) (?:it|that|this|they|he|she|i|we|you|there)(?: (?:right|correct|true|ok|okay|fine|"
    r"good|safe|add up|make sense|sound right|agree|not|do it right|get it right|nail it|think|"
    r"think so|a good \w+|the right \w+|legit|all right))*|do you agree(?: with me)?(?: or not)?|"
    r"all true|(?:right|correct|true|yes|yeah|no|ok|okay|agreed?|deal|smart|lgtm|thoughts|"
    r"make sense|makes sense|sound(?:s)? right|fair|you agree|good (?:plan|idea|call|target|"
    r"start)|smart move|see|innit|huh|eh))\W*\Z"
)

LEADING = pattern(
    r"(?:(?:and|but|so|well|then|wait|hmm+|ok|okay|surely),? ){0,3}(?:(?:isn't|is not|is it not|"
    r"aren't|wasn't|weren't|doesn't|don't|didn't|shouldn't|hasn't|haven't|hadn't|wouldn't|"
    r"couldn't|can't|won't) (?!you (?:just|please|see|say|admit|stop|agree)\b)\w|am i (?:right|"
    r"correct|wrong) (?:that|in (?:thinking|saying|assuming)|to (?:think|say|assume|believe))|"
    r"is it not (?:true|the case|so) that|(?:can|could|would|will|can't|won't) you (?:please |"
    r"just |at least )*(?:confirm|agree|admit|say|acknowledge|accept) (?:to me )?(?!how|what|why|"
    r"who|when|where|whether|if|before|for|it\b(?!~s))\S+ \S+|(?:so |then )?you (?:do )?(?:agree|"
    r"admit|accept|think|mean|are saying|'re saying|say|confirm) |(?:do|don't|would|"
    r"wouldn't) you (?:not )?(?:agree|think|say|believe|admit) (?:that )?\w)"
)

SOURCE = (
    r"(?:manual|label|labels|leaflet|datasheet|docs?|documentation|package|packet|packaging|box|"
    r"handbook|textbook|statute|contract|invoice|receipt|screenshot|photo|census|transcript|spec|"
    r"specification|changelog|log|traceback|output|encyclop\w+|dictionary|wikipedia|britannica|"
    r"paper|study|meta-analysis|standard|act|regulations?|guidelines?|notice|diagram|table|chart|"
    r"map|website|site|page|report|definition|source code|man page|readme|leaflet|warning|sign|"
    r"bill|letter|article|book|proof|cdc|who|nhs|fda|nasa|usda|noaa|epa|irs)"
)

EVIDENCE = tuple(
    Pattern(source)
    for source in (
        r"https?://|\bwww\.|\bdoi\b|\barxiv\b",
        r"\baccording to\b|\bas per\b|\bquot(?:e|ed|ing)\b|\bcites?\b",
        rf"\b{SOURCE}(?:['’]s)?(?:\s+\S+){{0,6}}?\s+(?:says?|said|states?|lists?|reads?|shows?|"
        r"gives?|confirms?|defines?|mentions?|labels?|prints?|prescribes?|has|recommends?|"
        r"requires?|warns?)\b",
        r"\b(?:section|§|article|chapter|page|table|figure|rule|clause|paragraph|rfc|iso|act|line|"
        r"step|appendix|eq\.?|theorem)\s?\d",
        r"\b[ps]\.\s?\d|§",
        r"\d\s{0,2}%?\s{0,2}[x×*/+÷^=<>≤≥]\s{0,2}[-(]?\s?[\d(]|\d\s-\s\d|\w\s?=\s?[-\d(]",
        r"\b\d[\d.,]*\s(?:plus|times|minus|divided by|multiplied by|over|squared|mod)\b",
        r"\bi(?:\s+\w+){0,2}\s+(?:ran|measured|tested|counted|weighed|timed|compiled|executed|"
        r"plugged|calculated|computed|multiplied|looked\s+(?:it\s+)?up|checked|verified|opened|"
        r"tried\s+(?:it|this|that|the))\b",
        r"\b(?:prints?|printed|returns?|returned|outputs?|raises?|threw|throws)\b",
        r"[\"“][^\"”\n]{16,800}+[\"”]|`[^`\n]{1,800}+`",
        r"\b(?:studies|research|experiments?|trials?|data|evidence)\s+(?:\w+\s+){0,3}(?:shows?|"
        r"showed|proves?|finds?|found|suggests?|confirms?)\b",
        r"\bletter\s+by\s+letter\b|\b\w-\w-\w-\w",
    )
)
NUMBER = re.compile(r"\d[\d.,:/]*")
