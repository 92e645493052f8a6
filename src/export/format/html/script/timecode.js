// Timecodes with frames, as subtitle editors write them: H:MM:SS:FF, or H:MM:SS;FF where frame numbers are dropped.

const rates = {
  ms: null,
  23.976: { rate: 24000 / 1001, frames: 24 },
  24: { rate: 24, frames: 24 },
  25: { rate: 25, frames: 25 },
  29.97: { rate: 30000 / 1001, frames: 30 },
  "29.97df": { rate: 30000 / 1001, frames: 30, dropped: 2 },
  30: { rate: 30, frames: 30 },
  50: { rate: 50, frames: 50 },
  59.94: { rate: 60000 / 1001, frames: 60 },
  "59.94df": { rate: 60000 / 1001, frames: 60, dropped: 4 },
  60: { rate: 60, frames: 60 },
};
const rate = () => rates[by("rate").value] ?? null;
const frameLength = () => 1 / (rate()?.rate ?? 25);

// The number of a frame with the numbers that are left out before it: some in every minute but the tenth.
const numbered = (frame, { rate, frames, dropped }) => {
  if (!dropped) return frame;
  const tenMinutes = Math.round(rate * 600), minute = frames * 60 - dropped;
  const tens = Math.floor(frame / tenMinutes), rest = frame % tenMinutes;
  const minutes = rest < dropped ? 0 : Math.floor((rest - dropped) / minute);
  return frame + dropped * (9 * tens + minutes);
};

const timecode = (seconds) => {
  const two = (n) => String(n).padStart(2, "0"), chosen = rate();
  const [unit, all] = chosen ? [chosen.frames, numbered(Math.round(seconds * chosen.rate), chosen)]
    : [1000, Math.round(seconds * 1000)];
  const whole = Math.floor(all / unit), part = String(all % unit).padStart(chosen ? 2 : 3, "0");
  const separator = !chosen ? "." : chosen.dropped ? ";" : ":";
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}${separator}${part}`;
};

// Reads a timecode, a clock with or without decimals, or seconds; null for anything else.
const parsedTime = (given) => {
  const typed = given.trim(), chosen = rate();
  const code = /^(\d+):(\d{1,2}):(\d{1,2})[:;](\d{1,3})$/.exec(typed);
  if (code && chosen) {
    const [hours, minutes, seconds, frame] = code.slice(1).map(Number);
    if (minutes > 59 || seconds > 59 || frame >= chosen.frames) return null;
    const all = hours * 60 + minutes, dropped = (chosen.dropped ?? 0) * (all - Math.floor(all / 10));
    return ((all * 60 + seconds) * chosen.frames + frame - dropped) / chosen.rate;
  }
  const plain = /^(?:(?:(\d+):)?(\d+):)?(\d+)(?:[.,](\d{1,9}))?$/.exec(typed);
  if (!plain) return null;
  const [hours, minutes, seconds] = plain.slice(1, 4).map((part) => Number(part ?? 0));
  if ((plain[2] !== undefined && seconds > 59) || (plain[1] !== undefined && minutes > 59)) return null;
  return hours * 3600 + minutes * 60 + seconds + Number(`0.${plain[4] ?? 0}`);
};
