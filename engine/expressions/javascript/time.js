// Makes luxon's classes global, and returns `luxonFor`, which sets luxon's clock and zone for a run.
(() => {
  'use strict';
  const { DateTime, Duration, Interval, Settings } = globalThis.luxon;
  Settings.throwOnInvalid = false;
  Object.assign(globalThis, { DateTime, Duration, Interval });
  globalThis.luxonFor = (nowMs, timezone) => {
    Settings.now = () => nowMs;
    Settings.defaultZone = timezone;
    const now = DateTime.now();
    return { now, today: now.startOf('day') };
  };
})()
