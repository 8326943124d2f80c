// Time zones, from the table that scripts/make_zones.py writes; `parse` is JSON.parse, `text` the table, `SystemDate` the
// engine's own Date.
(parse, text, SystemDate) => {
  'use strict';
  const DAY_MS = 86400000;
  const QUARTER_MS = 900000;
  const MINUTE_MS = 60000;
  const { UTC } = SystemDate;
  const table = parse(text);
  const names = new Map(Object.keys(table.zones).map((name) => [name.toLowerCase(), name]));
  const histories = new Map();

  // The name as the table writes it; offsets such as +02:00 are names of themselves.
  const named = (name) => {
    const found = names.get(String(name).toLowerCase());
    if (found !== undefined) return found;
    const offset = /^([+-])(\d\d)(?::?(\d\d))?$/.exec(name);
    if (offset === null || offset[2] > '23' || offset[3] > '59') throw new RangeError(`Invalid time zone specified: ${name}`);
    return `${offset[1]}${offset[2]}:${offset[3] ?? '00'}`;
  };

  // When a rule's change is in a year: the month, its week (5 is the last), the weekday, the minutes after midnight.
  const changeIn = (year, [month, week, weekday, minutes], offset) => {
    const first = new SystemDate(UTC(year, month - 1, 1)).getUTCDay();
    const last = new SystemDate(UTC(year, month, 0)).getUTCDate();
    let day = 1 + ((weekday - first + 7) % 7) + (week - 1) * 7;
    while (day > last) day -= 7;
    return UTC(year, month - 1, day) + (minutes - offset) * MINUTE_MS;
  };

  // The moments (ms) at which a zone's offset (minutes east of UTC) changed, the offsets from then on, and its rule.
  const historyOf = (name) => {
    const index = table.zones[name];
    let found = histories.get(index);
    if (found === undefined) {
      const [changes, rule] = table.histories[index].split('|');
      found = { moments: [], offsets: [] };
      let quarter = 0;
      for (const change of changes.split(' ')) {
        const [step, offset] = change.split(':');
        quarter += parseInt(step, 36);
        found.moments.push(quarter * QUARTER_MS);
        found.offsets.push(parseInt(offset, 36));
      }
      if (rule !== undefined) {
        const [usual, other, ...numbers] = rule.split(' ').map((number) => parseInt(number, 36));
        found.rule = { usual, other, away: numbers.slice(0, 4), back: numbers.slice(4) };
      }
      histories.set(index, found);
    }
    return found;
  };

  // The latest stretch of time in which an offset did not change: the next question is often about the same.
  const latest = { name: '', from: 0, to: 0, offset: 0 };
  const keep = (name, from, to, offset) => Object.assign(latest, { name, from, to, offset }).offset;

  const byRule = (name, { usual, other, away, back }, moment) => {
    const year = new SystemDate(moment + usual * MINUTE_MS).getUTCFullYear();
    const from = changeIn(year, away, usual);
    const to = changeIn(year, back, other);
    const [first, second] = from < to ? [from, to] : [to, from];
    if (moment >= first && moment < second) return keep(name, first, second, from < to ? other : usual);
    return keep(name, moment < first ? moment : second, moment < first ? first : moment + 1, from < to ? usual : other);
  };

  // The offset in minutes east of UTC that a zone has at a moment.
  const offsetAt = (name, moment) => {
    if (latest.name === name && moment >= latest.from && moment < latest.to) return latest.offset;
    if (table.zones[name] === undefined) {
      const [hours, minutes] = named(name).slice(1).split(':');
      return (name[0] === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
    }
    const { moments, offsets, rule } = historyOf(name);
    if (rule !== undefined && moment >= moments[moments.length - 1]) return byRule(name, rule, moment);
    let low = 0;
    let high = moments.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (moments[middle] <= moment) low = middle;
      else high = middle;
    }
    if (moment < moments[0]) return offsets[0];
    return keep(name, moments[low], moments[low + 1] ?? (rule === undefined ? Infinity : moments[low]), offsets[low]);
  };

  // The moment of a local time (ms as if it were UTC). Of two the earlier one; a time that is skipped is read with the
  // offset before (ECMA-262, 21.4.1.26).
  const momentOf = (name, local) => {
    const before = offsetAt(name, local - DAY_MS);
    const after = offsetAt(name, local + DAY_MS);
    const early = local - before * MINUTE_MS;
    if (before === after || offsetAt(name, early) === before) return early;
    const late = local - after * MINUTE_MS;
    return offsetAt(name, late) === after ? late : early;
  };

  return { named, offsetAt, momentOf };
}
