// Says why a text is not one expression, or not the body of one function, by itself. Nothing in the text runs.
//
// Each text is parsed behind a statement that throws: the whole script is parsed first, and then only that statement
// runs. A text could close the wrapping brackets and open them again at its end, so each is parsed in two wrappings
// that no text can close in the same way. The first bracket that a text closes and has not opened is the same in both:
//   expression: "[" needs "]" there, "(" needs ")";
//   body: behind the method's "}" in an object literal comes "," or "}", behind a function declaration a statement,
//   and no statement begins with "," or "}".
(() => {
  'use strict';
  const run = eval; // called by another name it evaluates in the global scope, and not in strict mode
  const { apply, deleteProperty, set } = Reflect;
  const { includes } = String.prototype;
  const shape = globalThis;

  const failureOf = (text) => {
    try {
      run(`throw 0;${text}`);
      return null;
    } catch (error) {
      return error === 0 ? null : error;
    }
  };

  const told = (failure, source, inAsync) => {
    if (apply(includes, source, ['await']) && failureOf(inAsync) === null) {
      return 'SyntaxError: await is not possible here: nothing in it takes time, and nothing outside can be called. '
        + 'Leave await and async away; to call an API, put an http_request node before this one';
    }
    return failure.name === 'RangeError' ? 'SyntaxError: it is nested too deeply' : `${failure.name}: ${failure.message}`;
  };

  // Why `source` is not one expression, or null.
  const expression = (source) => {
    const failure = failureOf(`[${source}\n]`) ?? failureOf(`(${source}\n)`);
    return failure === null ? null : told(failure, source, `(async()=>(${source}\n))`);
  };

  const FREE_NAME = 'checked';
  const empty = () => deleteProperty(shape, FREE_NAME) || set(shape, FREE_NAME, undefined);

  // Why `source` is not the body of one function, or null.
  const body = (source) => {
    const failure = failureOf(`({m(){${source}\n}})`) ?? failureOf(`function ${FREE_NAME}(){${source}\n}`);
    empty(); // a declaration makes its name global before the first statement runs
    return failure === null ? null : told(failure, source, `(async function(){${source}\n})`);
  };

  // Whether a body has no return of its own: outside of a function, return is a syntax error.
  const neverReturns = (source) => failureOf(`{${source}\n}`) === null;

  return { expression, body, neverReturns, empty, FREE_NAME };
})()
