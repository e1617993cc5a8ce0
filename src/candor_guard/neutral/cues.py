"""What tells the kinds of clauses apart: plain-word patterns, most of them over a whole clause.

The notation is that of `text.pattern`. A clause that no pattern knows counts as a claim: what is
wrongly kept costs a few words, what is wrongly dropped may be the user's argument.
"""

from __future__ import annotations

from candor_guard.neutral.text import pattern

ADVERBS = (
    r"(?:(?:really|so|very|too|just|quite|pretty|absolutely|totally|completely|truly|honestly|"
    r"still|now|already|also|literally|actually|clearly|simply|plainly|obviously|definitely|"
    r"certainly|kinda|kind of|sort of|a bit|a little|bit|extremely|incredibly|super|both|only|"
    r"genuinely|frankly|firmly|strongly|fully|100%|dead|flat|flat out|plain|feeling|always|"
    r"never been (?:this|so)|this|all|even|utterly|deeply|sincerely|fairly|rather|almost|at once|"
    r"not|here|beyond|more than|sitting here|lying here) ){0,3}"
)

_FEELINGS = (
    r"(?:sad|devastated|heartbroken|crushed|gutted|crying|lonely|alone|scared|terrified|afraid|"
    r"frightened|anxious|worried|nervous|stressed|panicking|panicked|proud|happy|excited|thrilled|"
    r"ecstatic|overjoyed|delighted|relieved|grateful|thankful|hopeful|hopeless|helpless|angry|"
    r"furious|livid|mad at|upset|hurt|hurting|frustrated|annoyed|irritated|disappointed|ashamed|"
    r"embarrassed|humiliated|guilty|tired|exhausted|drained|overwhelmed|desperate|depressed|"
    r"miserable|lost|low|numb|hollow|empty|grieving|shaking|trembling|in tears|in bits|"
    r"on cloud nine|over the moon|beside myself|a mess|a wreck|a monster|a failure|an idiot|"
    r"like a (?:failure|monster|burden|fool)|like crying|like giving up|like crap|"
    r"like (?:an? )?(?:idiot|shit)|like screaming|like hell|floating|buzzing|stoked|pumped|giddy|"
    r"speechless|shattered|fuming|fed up|done with|sick of|struggling|freaking out|losing it|"
    r"losing my mind|bawling|sobbing|emotional|insulted|offended|hysterical|distraught|"
    r"inconsolable|falling apart|a nervous wreck|worried sick|heart broken|lonelier|happier|"
    r"sadder|empowered|vindicated|alive|sweating|dying inside|at my wits' end|in shock|"
    r"in a bad place|at rock bottom|brokenhearted|homesick|jealous|bitter|on edge|unhappy|blessed|"
    r"sick about|sick with|not ok|not okay|not doing (?:well|great|good))"
)

_SELF = (
    r"(?:i'm|i am|i was|i've been|i have been|i've never been|i feel|i felt|i'm feeling|i got|"
    r"i get|we're all|we are all|feeling|been|so)"
)

FEELING = tuple(
    pattern(source)
    for source in (
        rf"(?:\w+,? )?{_SELF} {ADVERBS}{_FEELINGS}\b",
        rf"{ADVERBS}{_FEELINGS}(?=\W*\Z| (?:about|that|because|for|and|to|"
        r"but|now|right now|today|at|with|of)\b)",
        r"(?:i|we) (?:just |also |nearly |almost |even )?(?:cried|cry|wept|sobbed|bawled|"
        r"teared up|burst into tears|broke down|love|loved|hate|hated|miss|missed|wanted to cry|"
        r"could cry|want to (?:cry|scream|die|hug)|can't stop (?:crying|shaking|smiling|worrying)|"
        r"keep (?:crying|bursting|shaking)|can't (?:sleep|eat|breathe|cope|take (?:it|this)|bear|"
        r"stand|forgive|handle)|couldn't (?:sleep|eat|bear|stand|stop crying)|hope|wish|dread|"
        r"adore)\b",
        r"(?:it|that|this|you|everything)(?:'s| is| was| just| has)? (?:really |so |"
        r"just )?(?:hurts?|stings?|breaking my heart|breaks my heart|broke my heart|ma(?:kes|de|"
        r"king) (?:me|us) (?:feel|cry|so|sad|happy|smile|angry|sick|anxious|proud)|"
        r"means? (?:so much|the world|a lot|everything)|feels (?:amazing|great|awful|terrible|"
        r"horrible|so good|good|like my)|heavy|hard for me|killing me|a lot to take)\b",
        r"(?:my|our) (?:heart|stomach|chest|hands?|whole body|world|head|nerves)(?:'s| is| are|"
        r" was| just|'ve| has| have)? (?:broken|breaking|breaks|racing|pounding|shaking|sank|"
        r"sinking|full|in pieces|dropped|turned upside down|falling apart|shot|a mess|spinning)\b",
        r"(?:please |pls |just )*(?:be (?:happy|gentle|kind|nice|excited|proud|supportive)|"
        r"don't be (?:mean|harsh|cruel|cold)|cheer me up|comfort me|share my joy|"
        r"celebrate with me|hug me|let me have this)\b",
        r"i (?:just |really |only |don't )*(?:need|want|wanted|needed|could use|"
        r"could do with) (?:someone|somebody|a friend|anyone|comfort|a hug|some (?:comfort|"
        r"kindness|support|hope)|you to (?:be|share|comfort|support|cheer|celebrate|understand|"
        r"listen)|to be (?:alone|heard|happy|held)|advice)\b",
        r"(?:you're|you are|ur) (?:the only|my only|my best|my rock|all i (?:have|'ve got))\b",
        r"(?:no one|nobody|noone) (?:else )?(?:understands|understood|listens|gets (?:it|me)|sees|"
        r"cares|believes me)\b",
        r"(?:best|worst|happiest|saddest|proudest|hardest) (?:day|moment|night|week|year) of\b",
        r"that's what's keeping me going\b",
        r"(?:tears|goosebumps|chills)\b",
        r"i(?:'ve| have)? never (?:felt|been) (?:so|this|more)\b",
    )
)

# Feelings whose reason is told in the same breath: what follows is what the user takes for true.
REASON = pattern(
    rf"(?:{_SELF} )?{ADVERBS}{_FEELINGS} (?:with \w+ |about it )?"
    r"(?:that|because|since|as|cos|cuz|bc|now that|knowing(?: that)?) (?=\w+ \S+)"
)

FEARED = pattern(
    rf"(?:{_SELF} )?{ADVERBS}(?:afraid|scared|worried|terrified|relieved|happy|glad|sad|"
    r"devastated) (?=(?:it|he|she|they|there|the|this|my|our)(?:'s|'re|'ll)? \w+)"
)

_SOON = (
    r"(?:in \w+(?: \w+)?|by \w+(?: \w+)?|tomorrow|today|tonight|now|right now|soon|this \w+|"
    r"next \w+|at \w+|on \w+)"
)

STAKE = tuple(
    pattern(source)
    for source in (
        r"(?:my|our|her|his) (?:whole |entire |final )?(?:job|career|bonus|raise|salary|grade|"
        r"life|marriage|future|money|house|visa|exam|thesis|degree|promotion|reputation|savings|"
        r"business|family|boss|kids?|licence|license|scholarship|relationship) (?:really |all |"
        r"literally )?(?:depends?|is on the line|is at stake|are at stake|hangs?|is riding|"
        r"is over|is ruined|will (?:be|fire|kill|leave|lose|hate|never)|is (?:waiting|counting|"
        r"relying|watching))\b",
        r"i(?:~ll| will|'m going to|'m gonna| am going to| could| might| would|~d) (?:definitely |"
        r"probably |just |totally )?(?:fail|lose|get fired|be fired|be ruined|look (?:like|stupid|"
        r"bad|so)|get in(?:to)? trouble|be in trouble|be homeless|be humiliated|never forgive|"
        r"be devastated|be screwed|miss my|be a laughing|die of shame|get expelled|get sued)\b",
        r"i (?:have|need|'ve got|must|only have|got|am supposed) (?:to |got to )?(?:present|"
        r"submit|hand|turn|send|print|"
        rf"publish|deliver|announce|give|explain|file|post|defend|finish)\b.{{0,60}}\b{_SOON}\W*\Z",
        r"(?:it|this|everything|the (?:\w+ ){1,3})(?:'s| is) due\b",
        r"(?:the |my )?deadline\b",
        r"i(?:'ve| have)? (?:already |just )?(?:told|promised) (?:him|her|them|everyone|everybody|"
        r"people|the (?:\w+ )?\w+|my (?:\w+ )?\w+)(?: already| about (?:it|this)| so| that)?\W*\Z",
        r"i(?:'ve| have)? (?:already|just) (?:bet|wagered|staked|paid|booked|posted|printed|sent|"
        r"submitted|ordered) (?:\S+ ){0,6}\S+\W*\Z",
        r"i (?:just |really |only )*(?:need|want) (?:this|it|the right answer|the answer|"
        r"an answer|a yes|a quick yes|it to be (?:right|true)|this to be (?:right|true)|"
        r"this right|to know|to (?:win|settle|be right|get this right|hear)|reassurance|"
        r"a straight answer|your (?:approval|blessing)|good news|validation)\b(?: \S+){0,8}\W*\Z",
        r"(?:please |pls |but )?(?:this|it)(?:'s| is| really) (?:really |very |so |super |"
        r"extremely )?(?:important|urgent|matters)(?: \S+){0,5}\W*\Z",
        r"(?:a lot|so much|everything|(?:people's |human )?lives?|my whole \w+|"
        r"thousands of \w+) (?:really )?(?:depends?|is riding|rides|is at stake|are at stake)\b",
        r"(?:so )?(?:that )?i can (?:finally |just )?(?:finish|close|move on|tell|comfort|submit|"
        r"send|print|sleep|win|calm|relax|rest|stop worrying|show (?:him|her|them|my))\b",
        r"(?:there's|there is) (?:no time|a lot at stake|so much at stake|a lot riding)\b",
        r"(?:time(?:'s| is)) (?:running out|short)\b",
        r"(?:i'm |i am |we're )?(?:sending|submitting|posting|publishing|handing|presenting|"
        r"printing|turning|filing)"
        rf"(?: (?:it|this|that|them|in|off|out|the \w+|my \w+)){{0,4}}(?: {_SOON})?\W*\Z",
        r"(?:or else|otherwise|or) (?:i|my|he|she|they|we)(?:~ll|'m| will| am)? (?:be |get |"
        r"am )?(?:fired|fail|lose|leave|losing|ruined|screwed|done for|cancel)\b",
        r"if (?:i|you|this|it|we|they|i'm|it's|you're)\b.{0,80}\b(?:fired|lose my|lose the|ruined|"
        r"sue|sued|fail the|think i(?:'m| am)|laugh at me|hate me|leave me|never forgive|"
        r"look like an?|cancel|expelled|deported)\b",
        r"i(?:'m| am) (?:counting|relying|depending|betting) on (?:you|this|it)\b",
        r"(?:please )?don't (?:ruin|spoil|take (?:this|it|that)|let me down|disappoint)\b",
        r"i (?:really )?can't afford\b",
        r"i (?:bet|wagered|staked) (?:my |\S*\d)",
    )
)

_ROLE = (
    r"(?:\w*(?:nurse|doctor|teacher|professor|engineer|lawyer|attorney|accountant|physicist|"
    r"chemist|biologist|scientist|researcher|developer|programmer|coder|plumber|electrician|"
    r"mechanic|pharmacist|dentist|surgeon|physician|paramedic|vet|veterinarian|chef|cook|baker|"
    r"pilot|farmer|gardener|builder|carpenter|historian|economist|psychologist|therapist|"
    r"counsell?or|coach|trainer|referee|librarian|journalist|editor|writer|author|musician|"
    r"student|undergrad|graduate|major|mother|father|mom|mum|dad|parent|grandmother|grandfather|"
    r"grandma|grandpa|widow|widower|veteran|officer|manager|director|ceo|cto|founder|analyst|"
    r"consultant|auditor|adjuster|agent|broker|trader|investor|banker|driver|captain|sailor|"
    r"soldier|policeman|firefighter|lifeguard|midwife|carer|caregiver|technician|admin|"
    r"administrator|architect|designer|artist|linguist|translator|native|speaker|expert|"
    r"specialist|professional|practitioner|clinician|radiologist|cardiologist|dermatologist|"
    r"toxicologist|geologist|astronomer|mathematician|statistician|beekeeper|immigrant|citizen|"
    r"local|resident|man|woman|guy|girl|boy|person|teenager|senior|pensioner|retiree|phd|md|cpa|"
    r"rn|emt|diabetic|vegan|catholic|christian|muslim|hindu|jew|buddhist|brit|american|german|"
    r"australian|canadian|texan|owner|lead|supervisor|instructor|tutor|lecturer|hygienist|"
    r"nutritionist|dietitian|personal trainer|helper|apprentice|intern|breeder|groomer|scholar|"
    r"theologian|pastor|priest|rabbi|imam|judge|paralegal|cop|realtor|landlord|tenant)s?)"
)

_FIELD = (
    r"(?:phd|ph\.d\.?|degree|masters?|bachelors?|doctorate|diploma|licen[cs]e|certificate|"
    r"certification|background|ba|bsc|msc|mba|md|iq)"
)

_LONG = (
    r"(?:years?|yrs|decades?|seasons?|semesters?|months|since \d{4}|my (?:whole |entire |"
    r"adult )?(?:life|career)|childhood|birth)"
)

IDENTITY = tuple(
    pattern(source)
    for source in (
        rf"(?:speaking )?as (?:an?|the|someone|somebody|your) (?:\S+ ){{0,6}}{_ROLE}(?: (?:of|in|"
        r"with|at|for|from|who|myself) [^.!?]{0,80})?\W*\Z",
        r"(?:speaking )?as (?:someone|somebody|a person|the (?:person|one)) (?:who|"
        r"with) [^.!?]{0,80}\Z",
        r"(?:i'm|i am|i was|i've been|i have been|being|we're|we are) (?:also |actually |"
        r"literally |just |both |only |currently |not (?:just )?|myself )*(?:an?|the|head|chief) "
        rf"(?:(?!than\b)\S+ ){{0,5}}?{_ROLE}\b(?!.*\bthan\b)(?: (?:of|in|with|at|for|from|who|by|"
        r"here|and|myself|specializing|specialising|now|too)\b[^.!?]{0,80})?\W*\Z",
        r"(?:i'm|i am) (?:already |only |nearly |almost )?\d{1,3}(?: years? old| yo| y/o)?\W*\Z",
        r"(?:i'm|i am) (?:from|in my \d+s|originally from|in (?:med|medical|law|grad) school|"
        r"in (?:the )?\w+ grade|retired|certified|qualified|licensed|board[- ]certified|"
        r"an? certified|trained|not stupid|no idiot|not an idiot|not a child|"
        r"no expert(?: but)?)\b[^.!?]{0,60}\Z",
        r"i(?:'ve| have)? (?:been (?:an?|the|in|at|on|around|with|working|teaching|practi[sc]ing|"
        r"coaching|studying|living|running)|worked|taught|studied|practi[sc]ed|coached|refereed|"
        r"lived|grown|run|owned|cooked|baked|driven|flown|fished|gardened|played|sailed|"
        rf"served|done this|had (?:anxiety|depression|diabetes|this))\b[^.!?]{{0,80}}\b{_LONG}(?: "
        r"now| straight)?\W*\Z",
        r"i (?:currently |also |actually |literally )?(?:work|worked|teach|taught|study|studied|"
        r"majored|specialise|specialize|graduated|volunteer) (?:(?:as|in|at|for|with|from|this|it|"
        r"that) (?:\S+ ){0,8}\S+|\S+(?: (?:at|in|for|to) (?:\S+ ){0,6}\S+)?)\W*\Z",
        r"i (?:live|lived|grew up|was born|was raised) (?:\S+ ){0,5}\S+\W*\Z",
        r"i(?:'ve| have| hold| did| got| earned|'ve got| do have) (?:got )?(?:an?|my|two|three|"
        rf"both a) (?:\S+ ){{0,3}}?{_FIELD}\b[^.!?]{{0,60}}\Z",
        r"i (?:went to|attended|passed|aced|trained at) (?:\S+ ){0,6}?(?:school|university|"
        r"college|uni|harvard|mit|oxford|cambridge|yale|stanford|exam|cert|bar|boards|course|"
        r"class|nuns)\b[^.!?]{0,50}\Z",
        rf"my (?:\w+ )?{_FIELD}\b[^.!?]{{0,40}}\Z",
        r"(?:with|after|in) (?:my |over |more than |about |nearly |all )*(?:\d+|ten|twelve|"
        rf"fifteen|twenty|thirty|forty|many|several|twelve) {_LONG}\b[^.!?]{{0,60}}\Z",
        r"i(?:'ve| have)? (?:also )?(?:watched|read|done) (?:over |more than |about )*(?:\d+|two|"
        r"three|four|five|six|ten|a dozen|many|several) (?:hours|years|books|articles|"
        r"videos)\b[^.!?]{0,50}\Z",
        r"(?:i know|trust me),? i(?:'m| am) an? (?:\S+ ){0,4}" + _ROLE + r"\W*\Z",
    )
)

OTHER = tuple(
    pattern(source)
    for source in (
        r"(?:hi|hello|hey|hiya|good (?:morning|evening|afternoon|night)|dear)\b(?: \S+){0,4}\W*\Z",
        r"(?:thanks|thank you|thx|cheers|ta|ty|many thanks|thank god|thank goodness|"
        r"bless you)\b(?: \S+){0,8}\W*\Z",
        r"(?:ok|okay|got it|i see|understood|makes sense|that makes sense|fair enough|point taken|"
        r"gotcha|good to know|noted|great|perfect|cool|nice|awesome|brilliant|fine|sure|alright|"
        r"all right|right|yes|yeah|yep|yup|oh|ah+|wow|whoa|phew|haha|lol|omg|woohoo|yay|sorry|bye|"
        r"see you|well|you're right|you are right|i agree|agreed|(?:(?:i|yes i) think )?(?:that's|"
        r"that is|this is|it's) (?:right|correct|true|fine|good|great|helpful|clear)|looks good|"
        r"sounds (?:good|right|great))(?: (?:then|now|thanks|thank you|so far|mate|bro|dear|yes|"
        r"ok|okay|you|i see))*\W*\Z",
        r"(?:new to \w+|long story short|to be (?:fair|honest|clear)|in other words|for example|"
        r"by the way|anyway|not sure why|same here|me too|so yeah|you know what|guess what|listen|"
        r"look|actually|honestly|frankly|fun fact|quick question|one more thing|just (?:curious|"
        r"wondering|checking|double checking)|question|hear me out|i mean|bro|dude|mate|man|girl|"
        r"sir|god)\W*\Z",
    )
)
