// Results of expressions as text and as JSON, and their errors. `stringify` is that of exact.js.
(stringify) => {
  'use strict';
  const { isArray } = Array;
  const { apply } = Reflect;
  const { includes, charCodeAt, indexOf, slice, toWellFormed } = String.prototype;
  const Text = String;
  const Fault = Error;
  const isObject = (value) => typeof value === 'object' && value !== null;

  class AccessError extends Fault {
    constructor({ code, message, fix }) {
      super(message);
      this.code = code;
      this.fix = fix;
    }
  }
  // A source that is not what it should be; its message is the engine's.
  class SourceError extends Fault {}
  const refuse = (problem) => {
    if (problem !== null) throw new SourceError(problem);
  };

  const refuseInText = (what, fix) => {
    throw new AccessError({ code: 'object_in_text', message: `${what} stands inside text, where it would be of no use.`, fix });
  };
  const MOST_LEVELS = 100;
  // Objects that say nothing of themselves as text are errors, also in lists.
  const checkText = (value, level) => {
    if (typeof value === 'function') refuseInText('A function', 'Call it: write () behind its name.');
    if (!isObject(value) || level > MOST_LEVELS) return;
    if (isArray(value)) {
      for (let at = 0; at < value.length; at++) checkText(value[at], level + 1);
      return;
    }
    const text = Text(value);
    if (text.length < 100 && text[0] === '[' && apply(slice, text, [0, 8]) === '[object ' && text[text.length - 1] === ']') {
      refuseInText(`An object ("${text}")`, 'Use JSON.stringify(…), or one of its members.');
    }
  };
  const textOf = (value) => {
    if (value === undefined || value === null) return '';
    if (isObject(value) || typeof value === 'function') checkText(value, 0);
    return Text(value);
  };

  const refusePromise = (value) => {
    if (!isObject(value) || typeof value.then !== 'function') return;
    throw new AccessError({
      code: 'promise_result',
      message: 'It gives a promise, and nothing here can wait for one.',
      fix: 'Give the value itself, without async and await.',
    });
  };

  // JSON in which a text ends in the middle of a character: JSON.stringify writes such halves as \ud800 to \udfff.
  const refuseHalves = (json) => {
    for (let at = apply(indexOf, json, ['\\ud']); at >= 0; at = apply(indexOf, json, ['\\ud', at + 1])) {
      let before = at;
      while (before > 0 && apply(charCodeAt, json, [before - 1]) === 92) before--;
      if ((at - before) % 2 !== 0) continue; // the backslash itself is escaped
      throw new AccessError({
        code: 'bad_text',
        message: 'It gives a text with half a character in it, as slice leaves of an emoji. That is not valid Unicode.',
        fix: 'Cut texts by characters: [...text].slice(0, 3).join(\'\'), or call .toWellFormed() on the text.',
      });
    }
    return json;
  };

  const jsonOf = (value) => {
    refusePromise(value);
    if (typeof value === 'number' && !(value - value === 0)) return 'null'; // NaN and the infinities
    return refuseHalves(stringify(value) ?? 'null');
  };

  const codeOf = (error) => {
    if (error instanceof AccessError) return error.code;
    if (error.message === 'out of memory') return 'expression_memory';
    return apply(includes, `${error.message}`, ['stack']) && error.name !== 'Error' ? 'expression_stack' : 'expression_failed';
  };

  const describe = (error, source) => {
    const isOurs = error instanceof AccessError || error instanceof SourceError;
    const message = !(error instanceof Fault) ? `threw ${Text(error)}` : isOurs ? error.message : `${error.name}: ${error.message}`;
    const code = error instanceof Fault ? codeOf(error) : 'expression_failed';
    return stringify({ code, message: apply(toWellFormed, message, []), fix: error?.fix === undefined ? undefined : apply(toWellFormed, `${error.fix}`, []), source });
  };

  return { AccessError, SourceError, refuse, isObject, textOf, jsonOf, refuseHalves, refusePromise, describe };
}
