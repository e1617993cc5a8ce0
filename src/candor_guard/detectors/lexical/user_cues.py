"""Phrases that tell what the user does: press, bring evidence, state a belief, ask for help.

Same notation and spelling as `cues`.
"""

from __future__ import annotations

from candor_guard.detectors.lexical.phrases import PhraseTree

_USER = {
    "doubt": [
        "(are|r) you (really|absolutely|quite|completely|totally|100% |) (sure|certain|serious)",
        "(you sure|u sure|really sure|sure about)",
        "(is|was) that (really|actually|even) (right|true|correct|so|the)",
        "(check|look|think|count|calculate|read|try|verify|do it) (it|that|this|them|) again",
        "(double check|recheck|re check|think again|look again|check your|recount|reconsider)",
        "(i|we) (doubt|question|wonder)",
        "(not|hardly|never) (sure|convinced|certain|buying|so sure) (about|that|of|it|this)",
        "(i am|i was) not (sure|convinced|certain|buying)",
        "(that|this|it) (does not|do not|can not|could not|seems|sounds|looks|feels) (sound|seem|"
        "look|make|feel|be|add|off|wrong|weird|odd|strange|right|fishy)",
        "(hmm|really|seriously|huh|come on|no way|wait)",
        "(does not|do not|can not) (seem|sound|look|be) (right|correct|true|so)",
        "is not it",
        "are not you",
        "(final|last) (answer|chance)",
    ],
    "dispute": [
        "(you are|you were|that is|this is|it is|was|your answer is|thats) (just|simply|clearly|so|"
        "totally|completely|dead|still|plain|flat|obviously|) (wrong|incorrect|false|mistaken|"
        "nonsense|ridiculous|not right|not true|not correct|outdated|not it|rubbish|bullshit|bs|lie|"
        "inaccurate|mad|crazy|absurd|untrue)",
        "(wrong|false|incorrect|nonsense|rubbish|bullshit|nope|ridiculous|disagree|mistaken)",
        "i (do not|did not|can not) (think|believe|agree|buy|see it|accept|trust)",
        "(do not|can not|does not) (agree|accept|believe)",
        "(you are|you were|you have|you|stop) (being|missing|mixing|contradicting|ignoring|got|"
        "overreacting|confusing|lecturing|too|overthinking|exaggerating|repeating)",
        "(it is|that is|he is|she is|they are|there is|it was|you are) (not|definitely|clearly|"
        "obviously|literally)",
        "(actually|definitely|clearly|obviously|literally|surely)",
        "(no|nah|nope|not)",
        "(i|we) (still|really|honestly|strongly|firmly) (think|believe|say|disagree|feel)",
        "(i think|i thought|i believe|pretty sure|i am sure|i am certain|i am positive|i know|"
        "i swear|i remember|i am telling|told you)",
        "(it|answer|that) (should|must|has to|ought) (be|to be|have)",
        "(change|fix|correct|update|admit|take back|withdraw|apologize|reword) (it|your|that|the|this)",
        "(just|please|can you|could you) (say|admit|confirm|agree|tell me i|change|correct|accept)",
        "(but|however|although|though|yet|instead)",
    ],
    "authority": [
        "(i am|i have been|as|being) (a|an) _",
        "my (professor|teacher|doctor|boss|dad|father|mother|mum|mom|brother|sister|friend|uncle|"
        "aunt|coach|tutor|colleague|lecturer|dentist|trainer|wife|husband|grandma|grandfather|"
        "mate|lawyer|accountant|neighbor|neighbour|cousin|son|daughter|nan|gran|instructor|vet|"
        "pharmacist|nurse|textbook|book|class|group|family|manager|supervisor|mentor|pastor)",
        "(everyone|everybody|every single|all my|most people|people|thousands|millions|whole|"
        "whole team|all the) (knows|know|says|say|agrees|agree|i know|does|do|else|of|who|class)",
        "(i|we) (read|saw|heard|learned|learnt|watched|looked|googled|studied|asked|teach|taught|"
        "work|worked|did|grew|lived)",
        "(for|over) _ years",
        "(years|decades) (of|in|as|experience)",
        "(studies|research|experts|scientists|science|articles|article|documentary|video|tiktok|"
        "youtube|podcast|blog|forum|reddit|google|wikipedia|chatgpt|website|internet|news)",
        "(degree|phd|expert|certified|qualified|professional|license|licensed|trained)",
    ],
    # Something the assistant could check: quoted documents, runs, dates, a calculation.
    "evidence": [
        "(according to|per the|as per|page _|section _|chapter _|table _|article _|paragraph _|"
        "line _|step _)",
        "(manual|label|leaflet|datasheet|docs|documentation|package|packet|box|handbook|statute|"
        "contract|invoice|receipt|screenshot|photo|census|website|site|transcript|spec|changelog|"
        "log|traceback|output|gov|doi|https|http|www) (says|say|states|gives|shows|lists|is|has|"
        "reads|in|of|for|from|prints)",
        "(the|its|their) (manual|label|leaflet|docs|documentation|box|rules|notice|letter|sheet|"
        "guide|act|law|page|text|report|paper|error|output|definition)",
        "(says|states|lists|reads|shows|printed|prints|returns|returned|gives|confirms)",
        "i (ran|measured|tested|counted|tried|just ran|just checked|checked|plugged|calculated|"
        "compiled|executed|weighed|timed|opened|looked up|followed|have it|multiplied)",
        "(because|since|therefore|so|then|hence|if|which means|otherwise|but then|but the)",
        "(equals|plus|minus|times|divided|squared|gives|multiply|subtract|remainder|carries)",
        "(did not you|you forgot|you skipped|you missed|you used|you wrote|you counted|you left)",
        "(was|were) (born|founded|published|released|signed|introduced|renamed|repealed|changed)",
    ],
    "belief": [
        "i (believe|think|know|am convinced|am certain|am sure|feel like|figure|figured|reckon|"
        "guess|swear|genuinely think|really believe|honestly think|heard|read|realized|"
        "discovered|noticed|found out|decided|am pretty sure|am positive|have realized|just know)",
        "(i have|i am|my) (always|finally|just|been) (believed|thought|known|figured|realized|"
        "convinced|proven|solved)",
        "(proves|proof|means that|it means|that means|clearly|obviously|must be|has to be|"
        "everyone knows|the truth|a sign|destiny|meant to be|for a reason)",
        "(right|agree|correct|true|is not it|do not you think|yeah|ok|okay|does not it|no)",
        "(tell me|confirm|say) (i am|that|it|you agree|it is|i was|this|yes)",
        "(am i right|back me up|you agree|do you agree|would you agree|sound right|sounds right|"
        "makes sense|make sense|correct me)",
        "(since|because|given that|now that|so) (i|it|they|he|she|we|my|the|that|this|you)",
        "(always|never|every|all|only|nobody|everyone|forever|100%|completely|cures|causes|heals)",
        "my (theory|plan|idea|theorem|startup|essay|code|proof|function|poem|novel|equation|"
        "invention|system|strategy|model|framework|discovery)",
        "(planning|going|gonna|about|want|ready) to (stop|quit|start|invest|put|buy|sell|skip|"
        "take|use|give|leave|tell|send|submit|sign|cut|mix|eat|drink|do|ask|go|try|make|move|get)",
        "(what if|could it be|it feels like|feels like|almost like|i keep seeing|signs)",
        "(how|why) (much|many|long|do|does|did|come|are|is|should|can)",
    ],
    "feeling": [
        "(sad|cried|crying|lonely|alone|scared|afraid|anxious|worried|proud|happy|excited|angry|"
        "furious|heartbroken|grief|grieving|lost|miss|love|loved|hate|ashamed|guilty|tired|"
        "exhausted|hopeful|hopeless|devastated|nervous|upset|stressed|panicking|desperate|hurt|"
        "thrilled|ecstatic|depressed|embarrassed|humiliated|funeral|died|dying|divorce|pregnant)",
        "(so|really|very) (much|happy|sad|proud|excited|tired|scared|lost|low|alone|hard|bad)",
        "(only one|no one|nobody) (i can|i have|who|else|understands|listens|gets)",
        "my (mum|mom|dad|wife|husband|boyfriend|girlfriend|ex|dog|cat|son|daughter|baby|sister|"
        "brother|gran|grandma|partner|heart)",
        "(please|omg|lol|haha|ugh|oh|finally|god|honestly|promise|disappointed|insulting|unfair)",
    ],
    # Takes the earlier answer as it is; what follows is then no pressure.
    "accept": [
        "(thanks|thank you|thx|cheers|gotcha|understood|perfect|sweet|cool|great|brilliant|fine)",
        "(makes|that makes) sense",
        "(good to know|fair enough|point taken|got it|i see|will do|good catch|that is clear|noted)",
        "(you are|you were) right",
        "(oh|ah|ahh|ouch|wow|haha) (ok|okay|wow|right|no|lol|yes|that)",
        "(ok|okay|right|fine|great) (then|now|i will|we will|so what|and|what|how|got)",
        "(calling|booking|booked|called|phoned) (them|it|now|the)",
        "(did not|had not) (know|thought|realize|realise) that",
        "(any|another|more|other|few more|one more) (tips|ideas|recommendations|examples|trick|tip|"
        "advice|suggestions|options|questions|details|info|words|to)",
        "(can|could|would|will) you (please|also|just|maybe|)",
    ],
    # Fishes for a yes.
    "confirm": [
        "(did|have|had|was|am|do) i (do|get|got|handle|choose|do it|make|right|done|well|not|"
        "correct|understand|read|call|deserve|wrong)",
        "(is|are|was|does|do|did|has|have|should|would|can|could) (not|) (it|that|he|she|they|i|you|"
        "we)",
        "(tell|show) (me|him|her|them) (i|that i|you|it|what)",
        "(good|great|smart|right|perfect|solid) (habit|plan|idea|call|move|choice|thinking|so far)",
        "(please|just) (tell|say|confirm|agree|be happy|be honest)",
        "(settle|settling|bet|prove) (a|with|this|me)",
        "(thoughts|opinion|verdict|honest|feedback)",
    ],
    # Requests that put nothing at stake.
    "task": [
        "(can|could|would|will) you (please|just|also|) (write|make|give|explain|show|list|rewrite|"
        "summarize|summarise|translate|turn|put|add|shorten|create|help|tell|expand|format|draft|"
        "suggest|provide|describe|convert|remove|keep|change|use|do|name|recommend|compare)",
        "(write|generate|create|list|explain|describe|summarize|translate|rewrite|compose|provide|"
        "give me|suggest|design|draft|classify|identify|compare|convert|develop|analyze|outline|"
        "name|find|discuss|construct|come up|calculate|rearrange|edit|arrange|categorize|predict)",
        "(shorter|longer|simpler|bullet|bullets|list|table|format|version|example|examples|detail|"
        "details|summary|paragraph|tone|sentence|sentences|words|headline|recipe|poem|story)",
        "(thanks|thank you|cheers|perfect|great|got it|helpful|nice|awesome|brilliant|ta)",
        "(what|how|which|where|when|who) (is|are|about|else|should|would|do|can|other|if|kind|does)",
        "(one more|another|next|also|what about|instead of|more about|tell me more)",
    ],
}

USER_CUES = PhraseTree(_USER)
