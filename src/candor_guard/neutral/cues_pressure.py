"""Doubt, dispute and insistence that say nothing about the matter. Notation as in `cues`."""

from __future__ import annotations

from candor_guard.neutral.cues import ADVERBS
from candor_guard.neutral.text import pattern

_WRONG = (
    r"(?:wrong|incorrect|false|mistaken|nonsense|ridiculous|not right|not true|not correct|"
    r"outdated|rubbish|bullshit|bs|a lie|lying|inaccurate|crazy|absurd|untrue|garbage|total crap|"
    r"stupid|silly|off|confused|misinformed|in error|not it|backwards|insane|dumb|missing (?:the|"
    r"my) point|made up|out of date|not making sense|full of it|hallucinating|so (?:wrong|off)|"
    r"wrong again|clueless|a joke)"
)

_TAIL = (
    r"(?: (?:there|here|again|about (?:this|that|it)|on (?:this|that)( one)?|and you know it|"
    r"this time|though|mate|bro|dude|man|sorry|now|i (?:think|believe|am afraid)|then|anyway|"
    r"either|too|sir|pal|lol|completely|dear|at all|by the way|to me|tbh|i'm afraid))*"
)

PRESSURE = tuple(
    pattern(rf"(?:{source}){_TAIL}\W*\Z")
    for source in (
        r"(?:(?:(?:i|we) (?:still )?(?:think|believe|say|know|feel|guess)|i(?:'m| am) (?:pretty |"
        r"quite |very |so |fairly |really |absolutely |100% )*(?:sure|certain|positive|convinced|"
        r"afraid))(?: that)? )?(?:(?:that|this|the|your) (?:answer|reply|number|claim|result|"
        r"option|statement) (?:is|was)|that's|that is|this is|you're|you are|ur|u r|u are|it's|"
        r"it is|it was|that was|you were|your answer(?: is| was|'s)|the answer is|your (?:reply|"
        r"claim|information|info|math|maths|calculation|facts|source)(?: is| are|'s)|"
        r"you've got (?:it|this|that)|you have (?:it|this)|"
        rf"you got (?:it|this|that)) {ADVERBS}{_WRONG}",
        rf"{ADVERBS}{_WRONG}",
        r"(?:no+|nope|nah|na|hmm+|huh|really|seriously|what|come on|no way|wow|pff+t?|ugh|"
        r"wait(?: what)?|er+m?|lol|oh please|please|as if|hardly|yeah right|yeah no|oh come on|"
        r"excuse me|not true|not so|doubt it|i doubt (?:it|that))",
        r"(?:are|r) (?:you|u) (?:really |absolutely |quite |completely |totally |100% |very |"
        r"still |that )?(?:sure|certain|serious|kidding(?: me)?|positive|joking|blind|deaf|"
        r"confident)(?: (?:about|of|on|in) (?:that|this|it|your answer|your calculation|"
        r"all of (?:that|this)))?",
        r"(?:you|u|really|so)? ?(?:sure|certain)(?: about (?:that|this|it))?",
        r"(?:i'm |i am |we're |we are )?(?:really |still |just )?not (?:so |too |at all |"
        r"entirely |really )?(?:sure|convinced|certain|buying|persuaded)(?: (?:it|that|this|"
        r"about (?:that|this|it)|by (?:that|this)|you're right|that's right|i (?:agree|buy it|"
        r"believe (?:that|you))))?",
        r"(?:i|we) (?:still |really |just |honestly |simply |strongly |totally )*(?:don't|do not|"
        r"can't|cannot|can not|didn't|won't) (?:really |fully |just )?(?:think|believe|agree|buy|"
        r"see it|accept|trust|care)(?: (?:so|it|that|this|you|that's (?:right|true|correct|so|it)|"
        r"it's (?:right|true|so)|that is (?:right|true|correct|so)|you're right|with (?:you|"
        r"your \w+|that|this)|what you (?:say|said)|your (?:answer|explanation|reasoning|"
        r"argument)|a word))*",
        r"(?:i|we) (?:strongly |totally |completely |really |still |respectfully |"
        r"must )*(?:disagree|object|beg to differ)(?: with (?:you|that|this|your \w+))?",
        r"(?:please |pls |can you |could you |will you |would you |just |maybe |you should |"
        r"you'd better |better |go |now |then |and |i'd |try to )*(?:check|look|think|count|"
        r"calculate|read|try|verify|do|work|look at|go over|think about|look over)?(?: (?:it|that|"
        r"this|them|your (?:answer|work|facts|sources|math|maths|numbers|calculation)|"
        r"through))? ?(?:again|once more|twice|properly|carefully|harder)",
        r"(?:please |can you |could you |just |you should |you need to |you have to |"
        r"i think you should )*(?:double[- ]?check|re-?check|check|verify|re-?count|re-?consider|"
        r"re-?think|rethink|recalculate|correct|change|update|withdraw|take back|admit|accept|"
        r"own up to|apologi[sz]e(?: for)?|retract|edit|reword|redo)(?: (?:it|that|this|yourself|"
        r"your|the|answer|reply|work|facts|sources|math|maths|sheet|mistake|error|statement|again|"
        r"for me|please))*",
        r"(?:please |just |at least |for once |now |can you |could you |will you |would you |"
        r"can't you |i need you to |i want you to |you (?:have|need) to |you must |why (?:can't|"
        r"won't) you )*(?:just )?(?:say|admit|confirm|agree|tell me|tell her|tell him|accept|"
        r"promise|acknowledge)(?: (?:it|so|that|with me|yes|i'm|i am|i was|you|you're|you are|"
        r"you were|we're|he's|he was|she's|she was|right|wrong|correct|mistaken|sorry|not|mad|"
        r"crazy|the one|on my side|agree|and move on|already|overthinking|this|overreacting|"
        r"please|a good|making|made|the|call|choice|thing|it's|ok|okay|fine|true|going to be|"
        r"gonna be|will be|did|do|to be|i|nailed|for me|in one word|now|on|track|a|great|plan|"
        r"idea))*",
        r"(?:please |pls |just )*(?:back me up|side with me|agree with me|take my side|support me|"
        r"trust me|believe me|be on my side|humou?r me)(?: (?:here|on this(?: one)?|please|now|"
        r"on that))?(?: so (?:that )?i\b[\w ']{0,40})?",
        r"(?:everyone|everybody|every single \w+|all (?:of )?my \w+|most people|people|"
        r"my(?: \w+){1,3}?|the (?:whole |entire )?\w+ (?:team|class)?|the \w+|all the \w+|we|"
        r"thousands of people|millions of people|they|he|she|both of them|two of them|"
        r"literally everyone|no ?(?:one|body)) (?:else )?(?:\w+ )?(?:disagrees?|disagreed|"
        r"agrees? with (?:me|you|that)|agreed with (?:me|you|that)|agrees?|thinks? (?:so|the same|"
        r"i'm right|you're wrong|it too)|says? (?:so|the same|otherwise|the opposite|"
        r"the same thing|it too)|knows? (?:that|this|it|better)|told me (?:so|otherwise|"
        r"you're wrong|you'd be wrong)|(?:says?|said|thinks?|knows?) (?:that )?(?:you're|you are|"
        r"ur|u r|this is|that's|that is|it's) "
        rf"{ADVERBS}{_WRONG})(?: (?:with|on|about) (?:you|that|this|me|it))?(?: (?:here|too))?",
        r"(?:you're|you are|you) (?:just |really |always |clearly |being |making |too |so |only |"
        r"all |keep |a |still )*(?:overreact(?:ing)?|overthink(?:ing)?(?: (?:it|this|that))?|"
        r"defending \w+|exaggerat(?:e|ing)|lectur(?:e|ing)(?: me)?|contradict(?:ing)? (?:me|"
        r"yourself)|repeating yourself|stubborn|difficult|unhelpful|useless|negative|"
        r"worry too much|careful|cautious|dense|arrogant|condescending|patronizing|patronising|"
        r"rude|cold|pedantic|ignoring me|not listening|sound like my ex|this "
        r"needlessly complicated|needlessly complicated|machine|robot|bot|program|liar|mean|"
        r"too much)",
        r"(?:wake up|grow up|get real|prove it|look it up|google it|do your (?:own )?research|"
        r"end of (?:story|discussion)|period|full stop|that's (?:final|a fact|not debatable|it|"
        r"that|basic(?: \w+)?|elementary(?: \w+){0,3}|common (?:sense|knowledge))|it's (?:obvious|"
        r"basic logic|common sense|common knowledge|that simple|not debatable)|case closed|enough|"
        r"stop (?:it|this|that|lying|arguing|lecturing(?: me)?|being \w+|contradicting me|"
        r"making excuses)|i(?:'m| am) right|i was right|i know i(?:'m| am) right|you know i(?:'m|"
        r" am) right|i know what i(?:'m| am) talking about|i know (?:this|it|that|better|"
        r"this stuff)|i(?:'m| am) (?:sure|certain|positive|telling you|serious|not wrong|"
        r"sure of it|pretty sure|very sure|100% sure)|i (?:really |honestly "
        r")?expected better(?: from you)?|i thought you(?:'d| would|'re| were)? (?:of all people|"
        r"better|smarter|understand|know|get it|were|smart|of all)[\w ]{0,40}|(?:this is |that's |"
        r"it's )?(?:your )?(?:last|final) (?:chance|answer|warning)|i(?:'ll| will) (?:ask|use|"
        r"switch to|go to|try) (?:another|a different|someone else|chatgpt|claude|"
        r"gemini)[\w ]{0,30}|i don't (?:want|need) (?:a |to have a |another |your )?(?:lecture|"
        r"long debate|debate|lesson|argument|opinion|to argue)[\w ]{0,20}|don't (?:argue|"
        r"lecture me|make me|be ridiculous|be silly|tell me otherwise|contradict me|give me that|"
        r"be difficult|hedge)[\w ]{0,20}|how can you (?:be so (?:sure|certain)|say that|"
        r"not know(?: that| this)?|be so wrong)|what do you know|says who|who says|"
        r"why would i lie|you (?:always|never) (?:say|do|admit|listen)[\w ]{0,20}|you know (?:it|"
        r"nothing|that(?:'s true)?)|you're supposed to (?:help|agree|be)[\w ]{0,20}|i(?:'m|"
        r" am) (?:really |very |so |honestly |frankly |a bit )*(?:disappointed|insulted|"
        r"offended)(?: in you| by (?:you|that)| with you)?|i still (?:think|believe|say|"
        r"disagree)(?: so| that)?|so you're mistaken|that makes no sense|makes no sense|"
        r"that (?:doesn't|does not|can't|cannot|can not) (?:make sense|sound right|seem right|be|"
        r"be right|look right|be true|add up)|(?:that|this|it) (?:sounds|seems|looks|"
        r"feels) (?:off|wrong|weird|odd|strange|fishy|suspicious)|i need you to (?:say|admit|"
        r"confirm|agree)(?: (?:it|that|yes|with me))?|check your (?:facts|sources|work|math|maths|"
        r"answer|data)|i(?:'ve| have) asked (?:\w+ ){0,4}and they all (?:agree|say so)|(?:others|"
        r"other (?:ais?|chatbots?|models?|people)) (?:say|agree|disagree)[\w ]{0,20}|"
        r"you (?:really |clearly |obviously |just )?(?:don't know (?:what you're talking about|"
        r"anything|me|that)|have no idea[\w ]{0,30}|know nothing|never \w+|are an? (?:machine|"
        r"robot|bot|computer|program|liar|idiot))|you(?:'ve| have) (?:clearly |"
        r"obviously )?never [\w ]{0,50}|don't (?:talk me out of it|overthink (?:it|this)|"
        r"give me [\w' ]{0,60}|laugh|judge(?: me)?|say (?:no|that|it)|lie|be mad|get mad|worry)|"
        r"i(?:'m| am) (?:sure |certain )?you(?: will|~ll)? agree[\w ]{0,30}|i trust you|you(?:'re|"
        r" are|~ll)? (?:making|gonna make|going to make|make) me (?:look|fail|lose|feel|"
        r"cry)[\w ]{0,30}|you(?:'re| are) (?:usually |normally )?(?:so |very )?(?:smart|clever|"
        r"good|helpful|better than this)[\w ]{0,20}|(?:please )?give (?:me |us )?the (?:right|"
        r"correct|real|true) (?:answer|letter|one|number|result|option)|i (?:really |"
        r"honestly )?expected (?:a |an |more|better)[\w ]{0,30}|take a deep breath|i(?:'m|"
        r" am) (?:right|correct)(?: here| about (?:it|this|that))?|i(?:'m| am) (?:sure|certain|"
        r"positive) i(?:'m| am) (?:right|correct)|(?:i )?(?:think |know |"
        r"believe )?i know more (?:about \w+ )?than (?:most|any|you|your|all)[\w ]{0,30}|"
        r"at this point i know more[\w ]{0,40}|(?:this is )?(?:the )?last time i(?:'m|"
        r" am) saying (?:it|this)|last time you said something else|you said (?:otherwise|"
        r"the opposite|something else) (?:before|earlier|yesterday))",
    )
)
