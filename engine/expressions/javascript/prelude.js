// Makes the functions that evaluate templates and run programs in one context.
//
// All of these files first save every builtin that they use, since expressions can replace builtins. The arguments are
// what grammar.js and exact.js give, and the functions in globals.js, values.js, scope.js and freeze.js. Where a task needs a text
// that was not supplied, the answer is "!" with the names of such texts; the worker gives them and runs the task again.
(grammar, exact, makeGlobals, makeValues, makeScope, freezeAll) => {
  'use strict';
  const { apply } = Reflect;
  const { join } = Array.prototype;
  const { get: mapGet, set: mapSet } = Map.prototype;
  const Compile = Function;
  const { run, begin, supply, once, textNamed, load } = makeGlobals(exact.parse);
  const values = makeValues(exact.stringify);
  const { refuse, textOf, jsonOf, refuseHalves, describe } = values;
  const scopes = makeScope(values.AccessError);
  const { place, wrap, scopeOf } = scopes;
  const PARAMETER_TEXT = '$,$json,$input,$node,$items,$execution,$workflow,$vars,$prevNode,$runIndex,$itemIndex,$parameter';

  // In a frozen context code is strict: it fails where otherwise what it writes would be lost without a word.
  let isFrozen = false;
  const strictly = () => (isFrozen ? "'use strict';" : '');

  const functions = new Map();
  const compile = (source) => {
    let found = apply(mapGet, functions, [source]);
    if (found === undefined) {
      refuse(grammar.expression(source));
      found = new Compile(PARAMETER_TEXT, `${strictly()}return (${source}\n)`);
      apply(mapSet, functions, [source, found]);
    }
    return found;
  };

  const requestOf = (text, isExact) => {
    const request = isExact ? exact.parseExact(text) : exact.parse(text);
    begin(request);
    return request;
  };

  // A line per item: "[value, …]", or the description of the error.
  const evaluate = (requestText, isExact) => {
    const request = requestOf(requestText, isExact);
    const items = wrap(request.items);
    const scope = scopeOf(request, items);
    const { templates } = request;
    const lines = [];
    for (let index = 0; index < items.length; index++) {
      place.current = index;
      const found = [];
      let line;
      let at = 0;
      let part = 0;
      try {
        for (at = 0; at < templates.length; at++) {
          const { texts, expressions } = templates[at];
          let text = texts[0];
          let value;
          for (part = 0; part < expressions.length; part++) {
            value = compile(expressions[part])(
              scope.$, items[index].json, scope.$input, scope.$node, scope.$items, request.execution, request.workflow,
              request.vars, request.prevNode, request.runIndex, index, request.parameters,
            );
            if (!request.sole[at]) text += textOf(value) + texts[part + 1];
          }
          found[at] = request.sole[at] ? jsonOf(value) : refuseHalves(exact.stringify(text));
        }
        line = `[${apply(join, found, [','])}]`;
      } catch (error) {
        line = describe(error, templates[at]?.expressions[part]);
      }
      lines[index] = line;
    }
    return apply(join, lines, ['\n']);
  };

  const theScript = once(() => load(textNamed('script.js'))({ ...values, ...scopes, grammar, requestOf, Compile, PARAMETER_TEXT, strictly }));
  const tasks = {
    __proto__: null,
    evaluate,
    script: (text, isExact) => theScript()(text, isExact),
    // Freezes the context for good, with those of its parts made first that are named.
    freeze(parts) {
      for (const name of parts.split(',')) void globalThis[name];
      theScript();
      freezeAll([values.AccessError, values.SourceError], grammar.FREE_NAME);
      isFrozen = true;
      return '';
    },
    supply(name, text) {
      supply(name, text);
      return '';
    },
  };
  return (task, text, more) => {
    run.wanted = '';
    grammar.empty();
    try {
      const answer = tasks[task](text, more);
      return run.wanted === '' ? answer : apply(join, ['!', run.wanted], ['']);
    } catch (error) {
      if (run.wanted === '') throw error;
      return apply(join, ['!', run.wanted], ['']);
    }
  };
}
