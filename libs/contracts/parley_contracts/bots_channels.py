"""The channels about bots and about keys, a part of the catalogue."""

from functools import partial

from parley_contracts import bots, data_keys, provider_keys, subjects
from parley_contracts.channel import Channel, ChannelKind, request_channel
from parley_contracts.replies import Done

_request = partial(request_channel, "accounts")

BOTS_CHANNELS: tuple[Channel, ...] = (
    _request(subjects.ACCOUNTS_CREATE_BOT, bots.CreateBot, bots.Bot, "Make a bot."),
    _request(subjects.ACCOUNTS_READ_BOT, bots.ReadBot, bots.Bot, "One bot."),
    _request(subjects.ACCOUNTS_LIST_BOTS, bots.ListBots, bots.BotList, "One's bots, the newest first."),
    _request(subjects.ACCOUNTS_CHANGE_BOT, bots.ChangeBot, bots.Bot, "Other settings, as the next version."),
    _request(subjects.ACCOUNTS_DELETE_BOT, bots.DeleteBot, Done, "Remove a bot for good."),
    _request(
        subjects.ACCOUNTS_LIST_BOT_VERSIONS,
        bots.ListBotVersions,
        bots.BotVersionList,
        "Versions of a bot, and what changed.",
    ),
    _request(
        subjects.ACCOUNTS_READ_BOT_VERSION,
        bots.ReadBotVersion,
        bots.BotVersionSettings,
        "What a version was, and the one before it.",
    ),
    _request(
        subjects.ACCOUNTS_RESTORE_BOT_VERSION,
        bots.RestoreBotVersion,
        bots.Bot,
        "Go back to a version.",
    ),
    _request(
        subjects.ACCOUNTS_SET_PROVIDER_KEY,
        provider_keys.SetProviderKey,
        provider_keys.ProviderKey,
        "The key of a bot at a provider of models.",
    ),
    _request(
        subjects.ACCOUNTS_LIST_PROVIDER_KEYS,
        provider_keys.ListProviderKeys,
        provider_keys.ProviderKeyList,
        "Which providers a bot has keys for.",
    ),
    _request(
        subjects.ACCOUNTS_DELETE_PROVIDER_KEY,
        provider_keys.DeleteProviderKey,
        Done,
        "Forget a provider's key.",
    ),
    _request(
        subjects.ACCOUNTS_ROTATE_KEK,
        provider_keys.RotateKek,
        provider_keys.KekRotation,
        "A step of a rotation of the key-encryption key.",
    ),
    _request(
        subjects.ACCOUNTS_READ_DATA_KEY,
        data_keys.ReadDataKey,
        data_keys.ToldDataKey,
        "A key that originals are sealed under, for services only.",
    ),
    _request(
        subjects.ACCOUNTS_ROTATE_DATA_KEY,
        data_keys.RotateDataKey,
        data_keys.DataKeyRotation,
        "Another data key, which seals from now on.",
    ),
    _request(
        subjects.ACCOUNTS_READ_PUBLIC_BOT,
        bots.ReadPublicBot,
        bots.PublicBot,
        "A bot that a visitor has asked.",
    ),
    Channel(
        subjects.BOT_CHANGED,
        ChannelKind.EVENT,
        "DOMAIN_EVENTS",
        (bots.BotChanged,),
        "accounts",
        "every gateway",
        "A bot is another one now, or gone; published at least once.",
    ),
)
