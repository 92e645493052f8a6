"""Uses a running server through the `openai` package, as programs do that were written for OpenAI's.

    python3 tests/clients/openai_client.py http://127.0.0.1:8080 [--key KEY] [--max-upload BYTES]

The server must have the demo model as its first, since the text of the fixtures is expected. With --max-upload, which says
what the server was started with, a recording that is larger must be refused. `just serve-clients` starts such a server.
"""
import argparse
import json
from pathlib import Path

import openai

ROOT = Path(__file__).resolve().parent.parent.parent
SHORT = ROOT / "fixtures/long/short_en.flac"
SPANISH = ROOT / "fixtures/long/short_es.flac"
SAID = "The door is blue."


def raises(kind, status, action, mentions=()):
    try:
        answer = action()
    except openai.APIStatusError as error:
        assert type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}"
        assert error.status_code == status, error
        body = error.body
        assert {"message", "type", "param", "code"} <= set(body), body
        for text in mentions:
            assert text in json.dumps(body), f"`{text}` is not in {body}"
        return body
    raise AssertionError(f"no {kind.__name__}, but {answer!r}")


def transcribe(client, path=SHORT, model="whisper-1", **options):
    with path.open("rb") as file:
        return client.audio.transcriptions.create(model=model, file=file, **options)


def check_models(client):
    names = [model.id for model in client.models.list()]
    assert "whisper-1" in names and "demo" in names, names
    for name in names:
        model = client.models.retrieve(name)
        assert (model.id, model.object) == (name, "model"), model
    raises(openai.NotFoundError, 404, lambda: client.models.retrieve("none-such"), ["none-such", "model_not_found"])


def check_formats(client):
    answer = transcribe(client)
    assert SAID in answer.text and answer.text == answer.text.strip(), answer
    assert answer.usage.type == "duration" and answer.usage.seconds == 10, answer.usage
    assert transcribe(client, model="demo").text == answer.text
    text = transcribe(client, response_format="text")
    assert text == answer.text + "\n", text
    srt = transcribe(client, response_format="srt")
    assert srt.startswith("1\n00:00:0") and " --> " in srt and SAID in srt, srt
    vtt = transcribe(client, response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n") and SAID in vtt, vtt
    assert transcribe(client, language="en", temperature=0, prompt="door").text


def check_verbose(client):
    verbose = transcribe(client, response_format="verbose_json")
    assert (verbose.language, verbose.words) == ("english", None), verbose
    assert abs(float(verbose.duration) - 10) < 0.1, verbose.duration
    assert [segment.id for segment in verbose.segments] == list(range(len(verbose.segments)))
    for segment in verbose.segments:
        assert 0 <= segment.start <= segment.end <= 10.1 and segment.tokens and segment.avg_logprob <= 0, segment
    assert "".join(segment.text for segment in verbose.segments).strip() == verbose.text
    words = transcribe(client, response_format="verbose_json", timestamp_granularities=["word"])
    assert words.segments is None and words.words, words
    assert " ".join(word.word for word in words.words) == words.text, words
    assert all(0 <= word.start <= word.end <= 10.1 for word in words.words), words.words
    both = transcribe(client, response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert both.segments and both.words == words.words
    segments = transcribe(client, response_format="verbose_json", timestamp_granularities=["segment"])
    assert segments.segments and segments.words is None


def check_stream(client):
    events = list(transcribe(client, stream=True))
    assert {event.type for event in events} == {"transcript.text.delta", "transcript.text.done"}, events
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert len(deltas) > 1 and events[-1].type == "transcript.text.done", events
    assert "".join(deltas).strip() == events[-1].text == transcribe(client).text, events
    # Leaving in the middle leaves the server as it was.
    transcribe(client, SPANISH, stream=True).close()
    assert SAID in transcribe(client).text


def check_speakers(client):
    answer = transcribe(client, response_format="diarized_json", extra_body={"chunking_strategy": "auto"})
    assert answer.segments and answer.text and answer.duration, answer
    for segment in answer.segments:
        assert segment.type == "transcript.text.segment" and segment.id and segment.start <= segment.end, segment
        assert isinstance(segment.speaker, str), segment
    assert any(segment.speaker for segment in answer.segments), answer
    events = list(transcribe(client, response_format="diarized_json", stream=True))
    assert [event.type for event in events].count("transcript.text.segment") > 0, events
    assert events[-1].type == "transcript.text.done", events


def check_translations(client):
    for form in ("json", "text", "srt", "vtt", "verbose_json"):
        with SPANISH.open("rb") as file:
            answer = client.audio.translations.create(model="whisper-1", file=file, response_format=form)
        # The demo model cannot translate, but the answer has the right form.
        assert (answer if isinstance(answer, str) else answer.text) is not None, form
    assert hasattr(answer, "language") and answer.segments is not None, answer


def check_further_options(client):
    speech_only = transcribe(client, extra_body={"vad": "true", "beam_size": "2"})
    assert SAID in speech_only.text, speech_only


def check_errors(client, url, key, max_upload):
    bad = openai.BadRequestError
    raises(bad, 400, lambda: transcribe(client, extra_body={"none_such": "1"}), ["none_such"])
    raises(bad, 400, lambda: transcribe(client, language="klingon"), ["klingon"])
    raises(bad, 400, lambda: transcribe(client, response_format="docx"), ["docx", "response_format"])
    raises(bad, 400, lambda: transcribe(client, timestamp_granularities=["word"]), ["timestamp_granularities"])
    raises(bad, 400, lambda: transcribe(client, response_format="srt", stream=True), ["response_format"])
    # What OpenAI answers with 404, too.
    unknown = raises(openai.NotFoundError, 404, lambda: transcribe(client, model="none-such"), ["none-such"])
    assert unknown["param"] == "model", unknown
    no_file = lambda: client.post("/audio/transcriptions", cast_to=object, body={"model": "whisper-1"},
        files=[("other", b"x")], options={"headers": {"Content-Type": "multipart/form-data"}})
    raises(bad, 400, no_file, ["file"])
    empty = lambda: client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b""))
    raises(bad, 400, empty, ["empty"])
    noise = lambda: client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"this is no recording"))
    raises(openai.UnprocessableEntityError, 422, noise, ["a.wav"])
    if max_upload:
        large = lambda: client.audio.transcriptions.create(model="whisper-1", file=("a.wav", bytes(max_upload + 1)))
        raises(openai.APIStatusError, 413, large, ["too_large"])
        # So large that the head of the request tells.
        larger = lambda: client.audio.transcriptions.create(model="whisper-1", file=("a.wav", bytes(max_upload + (4 << 20))))
        raises(openai.APIStatusError, 413, larger, ["too_large"])
    if key:
        stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="not-the-key-of-anyone", max_retries=0)
        raises(openai.AuthenticationError, 401, lambda: transcribe(stranger), ["invalid_api_key"])
        raises(openai.AuthenticationError, 401, lambda: list(stranger.models.list()), ["invalid_api_key"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--key")
    parser.add_argument("--max-upload", type=int)
    args = parser.parse_args()
    client = openai.OpenAI(base_url=f"{args.url}/v1", api_key=args.key or "none", max_retries=0, timeout=120)
    checks = [check_models, check_formats, check_verbose, check_stream, check_speakers, check_translations, check_further_options]
    for check in checks:
        check(client)
        print(f"openai {openai.__version__}: {check.__name__.removeprefix('check_')}: as expected")
    check_errors(client, args.url, args.key, args.max_upload)
    print(f"openai {openai.__version__}: errors: as expected")


if __name__ == "__main__":
    main()
